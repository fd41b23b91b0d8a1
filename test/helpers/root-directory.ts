/** A small system without Node, ps and machine-id, for tests by root: made once on a machine, and shared by all that need it. */

import {execa} from 'execa';

const PLACE = '/var/tmp/jobbus-test-root';

/** Its own directory first, so that nobody else can have put a link or a system there; a half-made one has another name. */
const MAKE = `
  mkdir -p -m 755 "$1"
  test "$(stat -c '%u %F' "$1")" = '0 directory'
  exec 9>"$1/lock"
  flock 9
  if ! [ -e "$1/bookworm" ]; then
    rm -rf "$1/unfinished"
    debootstrap --variant=minbase --include=dbus-daemon,dbus-bin bookworm "$1/unfinished" http://deb.debian.org/debian >"$1/log"
    rm -rf "$1/unfinished/etc/machine-id" "$1/unfinished/var/cache/apt" "$1/unfinished/var/lib/apt/lists"
    mv "$1/unfinished" "$1/bookworm"
  fi`;

/** Milliseconds: packages come over the network. */
export const ROOT_DIRECTORY_TIME = 600_000;

/** @returns its path; nobody may change anything in it */
export async function rootDirectory(): Promise<string> {
  await execa('/bin/sh', ['-euc', MAKE, 'sh', PLACE]);
  return `${PLACE}/bookworm`;
}
