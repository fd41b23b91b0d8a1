/** Whether a directory's file system answers, which nobody knows before having asked: so another process asks. */

import {statusWithin} from '../../system/bounded.js';
import {explain} from '../../cli/log.js';

/** Milliseconds, on a node on which all wait for a processor. */
const ANSWER_TIME = 3000;

export async function answers(directory: string): Promise<boolean> {
  // A listing: what a directory is, the kernel may remember.
  return (await statusWithin(ANSWER_TIME, 'ls', ['-f', directory])) !== undefined;
}

/**
 * Without those that do not answer: a home whose server hangs holds up nobody.
 *
 * @param say told of each of those
 */
export async function answering(bases: readonly string[], say = explain): Promise<string[]> {
  const answered = await Promise.all(bases.map(async base => LOCAL_BASES.has(base) || answers(base)));
  bases.filter((_, index) => !answered[index]).forEach(base => say(`looking for sessions failed: ${base}: its file system does not answer; try again when it does`));
  return bases.filter((_, index) => answered[index]);
}

/** Of the node: no user can mount on them. */
export const LOCAL_BASES: ReadonlySet<string> = new Set(['/tmp', '/dev/shm']);
