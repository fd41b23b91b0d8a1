/**
 * Mounts below a directory: found in /proc/self/mountinfo, and detached.
 *
 * Nothing else tells a bind mount of the same file system from a plain directory: device numbers are equal, and
 * `rm --one-file-system` deletes through it.
 */

import {spawn} from 'node:child_process';
import {closeSync, constants, openSync, readFileSync} from 'node:fs';

/** Linux's O_PATH, which Node does not name: a handle on the file itself, whatever its mode. */
export const O_PATH = 0o10000000;

/** The mount that an open file is on: unlike the device, it tells a bind mount from its source. */
export function mountOf(descriptor: number): string | undefined {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
}

/** The type of the file system that a directory is on, by its name; undefined where mountinfo does not tell. */
export function mountTypeOf(directory: string): string | undefined {
  const descriptor = openSync(directory, O_PATH | constants.O_DIRECTORY);
  const mount = mountOf(descriptor);
  closeSync(descriptor);
  return parseMountType(readFileSync('/proc/self/mountinfo', 'utf8'), mount);
}

/** @param mountinfo as of proc(5): field 1 is the mount's number, and the type comes after the dash */
export function parseMountType(mountinfo: string, mount: string | undefined): string | undefined {
  return mountinfo.split('\n').find(line => line.startsWith(`${mount} `))?.split(' - ')[1]?.split(' ')[0];
}

/** The mount points at or below the directory, innermost first. */
export function mountsBelow(directory: string): string[] {
  return parseMountPoints(readFileSync('/proc/self/mountinfo', 'utf8'))
    .filter(point => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}

/** @param mountinfo as of proc(5): field 5 is the mount point, with blanks and backslashes in octal */
export function parseMountPoints(mountinfo: string): string[] {
  return mountinfo
    .split('\n')
    .map(line => line.split(' ')[4])
    .filter(point => point !== undefined)
    .map(point => point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

/** Detaches lazily whatever we may; what stays is for the caller to find. */
export async function detachMountsBelow(directory: string): Promise<void> {
  for (const point of mountsBelow(directory)) {
    // A server that is dead does not matter to a lazy unmount; fusermount3 is for the FUSE mounts of an ordinary user.
    for (const [program, option] of DETACHERS) {
      if (await succeeds(program, [option, point])) {
        break;
      }
    }
  }
}

const DETACHERS = [
  ['fusermount3', '-uz'],
  ['fusermount', '-uz'],
  ['umount', '-l'],
] as const;

const DETACH_TIMEOUT = 1000;

async function succeeds(program: string, words: readonly string[]): Promise<boolean> {
  return new Promise(resolve => {
    const child = spawn(program, words, {stdio: 'ignore', timeout: DETACH_TIMEOUT, killSignal: 'SIGKILL'});
    child.once('error', () => resolve(false));
    child.once('exit', code => resolve(code === 0));
  });
}
