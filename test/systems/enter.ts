/** A command in another system, as on a machine of its own: with its root by pivot_root, for in a chroot the kernel forbids user namespaces. */

import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {execa} from 'execa';
import {project} from '../helpers/ground.js';
import type {Topic} from './cases.js';
import type {System} from './trees.js';

/** Seconds. */
const TIME = 120;

/** `$1`: a place, and a cgroup's name; then words, that are run in namespaces of their own, for so many seconds at most. What they make of cgroups is removed. */
const CONFINE = `
  place=$1 name=\${1##*/}
  shift
  mount -t tmpfs none "$place"
  for kind in '-t cgroup -o freezer' '-t cgroup2'; do
    hierarchy="$place/hierarchies/\${kind##* }"
    mkdir -p "$hierarchy"
    mount $kind none "$hierarchy" && mkdir "$hierarchy/$name" || rmdir "$hierarchy"
  done
  status=0
  timeout --foreground -s KILL ${TIME} unshare --mount --pid --uts --ipc --net --fork --kill-child "$@" || status=$?
  for each in "$place"/hierarchies/*/"$name"; do
    until find "$each" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.1; done
  done
  exit $status`;

/** `$1`: a place; then words, that are run with the place's cgroups for root. */
const JOIN = `
  for each in "$1"/hierarchies/*/"\${1##*/}"; do echo 0 >"$each/cgroup.procs"; done
  shift
  exec unshare --cgroup "$@"`;

/** `$1`: a place, `$2`: the system's tree, of which nothing is changed, `$3`: the program's tree, `$4` and `$5`: the project's, of which nothing is changed either, and Node, or empty; then words. */
const ENTER = `
  mkdir "$1/changes" "$1/work" "$1/root"
  mount -t overlay -o "lowerdir=$2,upperdir=$1/changes,workdir=$1/work" none "$1/root"
  cd "$1/root"
  mount --rbind /dev dev
  mount -t tmpfs none dev/shm
  mount --rbind /sys sys
  mount -t proc proc proc
  mount -t tmpfs none tmp
  mount -t tmpfs none run
  chmod 1777 tmp dev/shm
  mkdir old opt/jobbus-run
  mount --bind "$3" opt/jobbus-run
  mount -o remount,bind,ro opt/jobbus-run
  if [ -n "$4" ]; then
    mkdir "$1/written" "$1/written-work" opt/suite
    mount -t overlay -o "lowerdir=$4,upperdir=$1/written,workdir=$1/written-work" none opt/suite
    touch opt/suite/node
    mount --bind "$5" opt/suite/node
  fi
  echo '127.0.0.1 localhost node1' >etc/hosts
  echo node1 >/proc/sys/kernel/hostname
  shift 5
  pivot_root . old
  umount -l /old
  exec "$@"`;

/** Signals of the system's own programs that this machine cannot run are for the emulator; in a namespace, nobody else gets it. */
const EMULATE = `
  cp -a /usr/aarch64-linux-gnu/lib/* /usr/lib/
  exec unshare --user --map-root-user --mount /bin/sh -euc '
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    printf %s ":arm64:M::\\\\x7fELF\\\\x02\\\\x01\\\\x01\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x02\\\\x00\\\\xb7\\\\x00:\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\x00\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xfe\\\\xff\\\\xff\\\\xff:/usr/bin/qemu-aarch64:FPO" >/proc/sys/fs/binfmt_misc/register
    exec "$@"' sh "$@"`;

const ENVIRONMENT = {PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8'};

/** Runs shell lines for a topic in the system. @returns all that they have printed */
export async function inSystem({architecture}: System, {needsSuite = false}: Topic, tree: string, program: string, lines: string): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), 'jbt-system-'));
  try {
    const emulation = architecture === 'arm64' ? shell(EMULATE) : [];
    const suite = needsSuite ? [project, process.execPath] : ['', ''];
    const words = [...shell(CONFINE), place, ...shell(JOIN), place, ...shell(ENTER), place, tree, program, ...suite, ...emulation, '/bin/bash', '-uc', lines];
    const {all} = await execa('unshare', ['--mount', ...words], {env: ENVIRONMENT, extendEnv: false, all: true, reject: false, stdin: 'ignore'});
    return all;
  } finally {
    rmSync(place, {recursive: true});
  }
}

function shell(lines: string): string[] {
  return ['/bin/sh', '-euc', lines, 'sh'];
}
