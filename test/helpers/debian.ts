/** Trees of Debian systems, for tests by root: made once on a machine, and shared by all that need them. */

import {execa} from 'execa';

export interface Tree {
  /** A directory of trees. */
  readonly place: string;
  readonly name: string;
  /** Debian's. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Packages that apt is to find the dependencies of: debootstrap knows neither alternatives nor what is only provided. */
  readonly more?: readonly string[];
  /** Paths that it does not have, of what debootstrap(8) makes. */
  readonly without?: readonly string[];
}

/** Its own directory first, so that nobody else can have put a link or a system there; a half-made one has another name. */
const MAKE = `
  place=$1 name=$2 suite=$3 packages=$4 more=$5
  shift 5
  mkdir -p -m 755 "$place"
  test "$(stat -c '%u %F' "$place")" = '0 directory'
  exec 9>"$place/lock"
  flock 9
  if ! [ -e "$place/$name" ]; then
    rm -rf "$place/unfinished"
    debootstrap --variant=minbase --include="$packages" "$suite" "$place/unfinished" http://deb.debian.org/debian >"$place/log"
    if [ -n "$more" ]; then
      unshare --mount --pid --uts --fork /bin/sh -euc "$INSTALL" sh "$place/unfinished" $more >>"$place/log" 2>&1
    fi
    for path; do rm -rf "$place/unfinished/$path"; done
    mv "$place/unfinished" "$place/$name"
  fi`;

/** No daemon starts, and nothing waits for the disk. What says which packages sid has is good for some days, and a mirror may be behind. Grid Engine's packages want the host to have an address. */
const INSTALL = `
  root=$1
  shift
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs none "$root/run"
  printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
  chmod +x "$root/usr/sbin/policy-rc.d"
  hostname node1
  printf '127.0.0.1 localhost\\n192.0.2.1 node1\\n' >"$root/etc/hosts"
  export DEBIAN_FRONTEND=noninteractive
  chroot "$root" apt-get -o Acquire::Check-Valid-Until=false update
  chroot "$root" apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
  rm "$root/usr/sbin/policy-rc.d"`;

/** @returns its path; nobody may change anything in it */
export async function debianTree({place, name, suite, packages, more = [], without = []}: Tree): Promise<string> {
  await execa('/bin/sh', ['-euc', MAKE, 'sh', place, name, suite, packages.join(','), more.join(' '), 'var/cache/apt', 'var/lib/apt/lists', ...without], {env: {INSTALL}});
  return `${place}/${name}`;
}
