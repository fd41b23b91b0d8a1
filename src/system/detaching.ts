/** Taking mounts away, which a program of the system's does: an ordinary user's FUSE only fusermount may. */

import {statusWithin} from './bounded.js';
import {mountsBelow} from './mounts.js';

/** Detaches lazily whatever we may; what stays is for the caller to find. */
export async function detachMountsBelow(directory: string): Promise<void> {
  const refused = new Set<string>();
  // Each once, whatever is mounted anew meanwhile. The outermost first: it takes those in it along, and the way to them may lead through
  // one that hangs.
  for (let rounds = mountsBelow(directory).length; rounds > 0; rounds--) {
    const outermost = mountsBelow(directory).find(({id}) => !refused.has(id));
    if (outermost !== undefined && !(await detach(outermost.point))) {
      refused.add(outermost.id);
    }
  }
}

/**
 * Detaches what was mounted last on the path. A server that is dead or hangs does not matter to a lazy unmount; fusermount3 is for the FUSE
 * mounts of an ordinary user.
 *
 * @returns whether it could
 */
export async function detach(point: string): Promise<boolean> {
  for (const [program, option] of DETACHERS) {
    if ((await statusWithin(DETACH_TIME, program, [option, point])) === 0) {
      return true;
    }
  }

  return false;
}

const DETACHERS = [
  ['fusermount3', '-uz'],
  ['fusermount', '-uz'],
  ['umount', '-l'],
] as const;

/** Milliseconds. */
const DETACH_TIME = 1000;
