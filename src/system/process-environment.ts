/** The environment with which a process was executed last, as /proc tells it. */

import {readdirSync} from 'node:fs';
import {pause} from './clock.js';
import {isZombie, readText, statFields, statusOf} from './processes.js';

/** Set by the launcher for jobbus-run itself; nobody else has it from us. */
export const LAUNCHER_VARIABLE = 'JOBBUS_LAUNCHER';

/** @returns undefined when it may not be read */
export function environmentOf(pid: number): string | undefined {
  const environment = environmentAt(`/proc/${pid}`);
  return unshifted(environment || (otherThreads(pid).map(environmentAt).find(Boolean) ?? environment));
}

/** A jobbus-run's own begins with the frame's record, and has one byte in front of each entry behind that: system/caller.ts. */
function unshifted(environment: string | undefined): string | undefined {
  return environment?.startsWith(`${LAUNCHER_VARIABLE}=2:`) ? environment.replaceAll('\0:', '\0') : environment;
}

/** The entries of those that are left where the main thread has ended; none where it has not. */
function otherThreads(pid: number): readonly string[] {
  const status = statusOf(pid);
  if (status === undefined || status.isOver || !isZombie(status.state)) {
    return [];
  }

  try {
    return readdirSync(`/proc/${pid}/task`).filter(name => Number(name) !== pid).map(name => `/proc/${pid}/task/${name}`);
  } catch {
    return []; // It has ended meanwhile.
  }
}

/**
 * In the midst of execve a process has no environment, and one that was opened before and is read behind it is empty. Who has
 * none for several looks, without executing, has none.
 *
 * @param entry a process's or a thread's
 */
function environmentAt(entry: string): string | undefined {
  let calmLooks = 0;
  for (let looks = 1; ; looks++) {
    const environment = readText(`${entry}/environ`);
    const isExecuting = environment?.length === 0 && executes(entry);
    calmLooks += isExecuting ? 0 : 1;
    if (environment?.length !== 0 || calmLooks === CALM_LOOKS || looks === MOST_LOOKS) {
      return environment;
    }

    if (isExecuting) {
      pause();
    }
  }
}

const CALM_LOOKS = 3;

/** A millisecond each: on a busy machine, who executes may have to wait for a processor in the midst of it. */
const MOST_LOOKS = 50;

/** By the end of its environment, field 51 of proc(5)'s stat; it is 0 for the kernel's threads and the dead, too. */
function executes(entry: string): boolean {
  const fields = statFields(entry);
  return fields?.[48] === '0' && (Number(fields[6]) & KERNEL_THREAD) === 0 && !isZombie(fields[0]!);
}

/** PF_KTHREAD, in field 9. */
const KERNEL_THREAD = 0x20_0000;
