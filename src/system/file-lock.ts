/** Locks of files, which the kernel frees however their holder dies. */

import {call} from './libc.js';

/** LOCK_EX | LOCK_NB */
const EXCLUSIVE = 2 | 4;

/** Locks the open file until it is closed. @returns 0, or a negative number of errno(3), EAGAIN where another has locked it */
export function lockFile(descriptor: number): number {
  return call('flock', descriptor, EXCLUSIVE);
}
