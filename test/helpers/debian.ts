/** Trees of Debian systems, for tests by root: made once on a machine, and shared by all that need them. */

import {execa} from 'execa';

export interface Tree {
  /** A directory of trees. */
  readonly place: string;
  readonly name: string;
  /** Debian's. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Paths that it does not have, of what debootstrap(8) makes. */
  readonly without?: readonly string[];
}

/** Its own directory first, so that nobody else can have put a link or a system there; a half-made one has another name. */
const MAKE = `
  place=$1 name=$2 suite=$3 packages=$4
  shift 4
  mkdir -p -m 755 "$place"
  test "$(stat -c '%u %F' "$place")" = '0 directory'
  exec 9>"$place/lock"
  flock 9
  if ! [ -e "$place/$name" ]; then
    rm -rf "$place/unfinished"
    debootstrap --variant=minbase --include="$packages" "$suite" "$place/unfinished" http://deb.debian.org/debian >"$place/log"
    for path; do rm -rf "$place/unfinished/$path"; done
    mv "$place/unfinished" "$place/$name"
  fi`;

/** @returns its path; nobody may change anything in it */
export async function debianTree({place, name, suite, packages, without = []}: Tree): Promise<string> {
  await execa('/bin/sh', ['-euc', MAKE, 'sh', place, name, suite, packages.join(','), 'var/cache/apt', 'var/lib/apt/lists', ...without]);
  return `${place}/${name}`;
}
