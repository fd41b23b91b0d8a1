/** Becoming another user. */

import {call, cString} from './libc.js';

/**
 * Root becomes the user for good, with all groups that the system's databases give them. The C library sees to it that all threads do.
 *
 * @param name for these databases
 * @returns 0, or a negative number of errno(3): what it is then, nobody is to go on with
 */
export function becomeUser(user: number, group: number, name: string): number {
  return call('initgroups', cString(name), group) || call('setgid', group) || call('setuid', user);
}
