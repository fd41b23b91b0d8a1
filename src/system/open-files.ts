/** The open files of a process, as /proc tells them. */

import {readdirSync, readlinkSync} from 'node:fs';
import {ifPossible} from './if-possible.js';

/** None of a process that has ended, or is another user's. */
export function descriptorNumbers(pid: number): string[] {
  return ifPossible(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
}

/** @returns undefined when it has been closed meanwhile */
export function descriptorTarget(pid: number, descriptor: string): string | undefined {
  return ifPossible(() => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
}
