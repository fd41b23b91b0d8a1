/** jobbus-run in containers of that system, and containers in jobbus-run. */

import type {Case, Topic} from './cases.js';

/** An ordinary user and, in /srv/image, what a small image has. */
const IMAGE = `
  mount -t tmpfs -o mode=1777 none /srv # podman's storage cannot be on an overlay.
  useradd --create-home --shell /bin/bash someone
  echo someone:200000:65536 | tee /etc/subuid >/etc/subgid
  as() { setpriv --reuid someone --regid someone --init-groups env HOME=/home/someone USER=someone "$@"; }
  mkdir -p /srv/image/usr/bin /srv/image/usr/lib /srv/image/usr/lib64 /srv/image/etc
  cd /srv/image
  mkdir proc sys dev tmp run var home srv root opt opt/jobbus-run; chmod 1777 tmp
  ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64
  programs=$(command -v bash sh env ls cat grep sleep rm basename dbus-daemon dbus-send ask saves ready term-once)
  for each in $programs $(ldd $programs /opt/jobbus-run/lib/jobbus-run/supervisor 2>/dev/null | grep -o '/[^ ]*\\.so[^ ]*') /usr/share/dbus-1/session.conf; do
    place=.$(echo $each | sed -E 's:^/lib:/usr/lib:'); mkdir -p \${place%/*}; cp -L $each $place
  done
  cp usr/local/bin/* usr/bin/
  grep -E '^(root|someone):' /etc/passwd >etc/passwd; grep -E '^(root|someone):' /etc/group >etc/group; : >etc/hosts; : >etc/resolv.conf
  chown -R someone:someone /srv/image
  cd /`;

/** @param words that run words in the image, with the program in its place */
function inside(words: string): readonly Case[] {
  return [
    {name: 'inside', lines: `as ${words} sh -c '/opt/jobbus-run/bin/jobbus-run -- sh -c "ask; exit 7"; echo $?; ls -A /tmp'; left`, prints: /^ *[0-9a-f]{32}7\nnothing left$/},
    {name: 'inside: TERM', lines: `as ${words} sh -c 'term-once /opt/jobbus-run/bin/jobbus-run -- saves; ls -A /tmp'; left`, prints: /^3\nready\nTERM\nsaved\nnothing left$/},
  ];
}

const ANSWERS: Case['prints'] = /^ *[0-9a-f]{32}0\nnothing left$/;

/** @param words that run words in the image, as docs/containers.md has them */
function around(words: string, how = ''): Case {
  return {name: `around${how}`, lines: `as jobbus-run -- ${words.replace('COMMAND', 'ask')} 2>/dev/null; echo $?; left`, prints: ANSWERS};
}

function aroundTerm(words: string, how = ''): Case {
  return {name: `around${how}: TERM`, lines: `as term-once jobbus-run -- ${words.replace('COMMAND', 'saves')}; left`, prints: /^3\nready\nTERM\nsaved\nnothing left$/};
}

const BWRAP = 'bwrap --unshare-all --ro-bind /srv/image / --ro-bind /opt/jobbus-run /opt/jobbus-run --proc /proc --dev /dev --tmpfs /tmp';

export const BUBBLEWRAP: Topic = {
  title: 'bubblewrap',
  packages: ['bubblewrap'],
  version: "bwrap --version | sed 's/.* //'",
  before: IMAGE,
  cases: [...inside(BWRAP), around(`sh -c 'exec ${BWRAP} --bind "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR" COMMAND'`)],
};

const CH_RUN = 'ch-run /srv/image --';

export const CHARLIECLOUD: Topic = {
  title: 'charliecloud',
  packages: ['charliecloud-runtime'],
  version: 'USER=root ch-run --version 2>&1',
  before: IMAGE,
  cases: [...inside('ch-run --bind /opt/jobbus-run:/opt/jobbus-run /srv/image --'), around(`${CH_RUN} COMMAND`), aroundTerm(`${CH_RUN} COMMAND`)],
};

/** It wants a unified cgroup hierarchy or none, and the limits that it would raise are named. */
const PODMAN_WORLD = `
  mount -t cgroup2 none /sys/fs/cgroup
  mount --make-rshared /`;

const PODMAN = `podman --root /srv/storage --runroot /srv/running --cgroup-manager=cgroupfs run --rm --network=none --cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --userns=keep-id`;
const PODMAN_AROUND = `sh -c 'exec ${PODMAN} -v "$XDG_RUNTIME_DIR:$XDG_RUNTIME_DIR" -e XDG_RUNTIME_DIR -e DBUS_SESSION_BUS_ADDRESS --rootfs /srv/image COMMAND'`;

export const PODMAN_5: Topic = {
  title: 'podman',
  packages: ['podman', 'uidmap', 'crun'],
  version: "podman --version | sed 's/.* //'",
  before: [IMAGE, PODMAN_WORLD].join('\n'),
  cases: [...inside(`${PODMAN} -v /opt/jobbus-run:/opt/jobbus-run --rootfs /srv/image`), around(PODMAN_AROUND), aroundTerm(PODMAN_AROUND)],
};

const APPTAINER_BOUND = `sh -c '
  export APPTAINERENV_XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" APPTAINERENV_DBUS_SESSION_BUS_ADDRESS="$DBUS_SESSION_BUS_ADDRESS" APPTAINER_BIND="$XDG_RUNTIME_DIR"
  exec apptainer --silent exec --containall /srv/image.sif COMMAND'`;

/** The machine's may be for its root alone. */
const FUSE = 'mknod -m 666 /run/fuse c 10 229; mount --bind /run/fuse /dev/fuse';

export const APPTAINER: Topic = {
  title: 'apptainer, with a SIF image',
  packages: ['apptainer', 'squashfuse', 'fuse-overlayfs'],
  version: "apptainer --version | sed 's/.* //'",
  before: [IMAGE, FUSE, 'as apptainer --silent build /srv/image.sif /srv/image 2>/dev/null'].join('\n'),
  cases: [
    ...inside('apptainer --silent exec --containall --bind /opt/jobbus-run /srv/image.sif'),
    around('apptainer --silent exec /srv/image.sif COMMAND'),
    aroundTerm('apptainer --silent exec /srv/image.sif COMMAND'),
    around(APPTAINER_BOUND, ', --containall'),
    aroundTerm(APPTAINER_BOUND, ', --containall'),
  ],
};
