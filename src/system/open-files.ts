/** The open files of a process, as /proc tells them. */

import {readdirSync, readlinkSync} from 'node:fs';

/** From 3 upwards, ascending; none of a process that has ended, or is another user's. */
export function descriptorNumbers(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map(Number).filter(number => number > 2).sort((a, b) => a - b);
  } catch {
    return [];
  }
}

/** @returns undefined when it has been closed meanwhile */
export function descriptorTarget(pid: number, descriptor: number | string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}
