/** The open files of a process, as /proc tells them. */

import {readdirSync, readlinkSync} from 'node:fs';

/** None of a process that has ended, or is another user's. */
export function descriptorNumbers(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

/** @returns undefined when it has been closed meanwhile */
export function descriptorTarget(pid: number, descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}
