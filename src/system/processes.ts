/**
 * Processes: whether they live, and ending them.
 *
 * A pid alone names nobody for long, so a process is noted with its start time and looked at again just before each
 * signal. Zombies count as gone: whether the parent has reaped them is not ours to wait for.
 */

import {readdirSync, readFileSync} from 'node:fs';

export interface Process {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of proc(5)'s stat. */
  readonly startTime: string;
}

export interface ProcessStatus extends Process {
  /** One letter, of the main thread: R, S, D, T (stopped), Z (zombie), … */
  readonly state: string;
  /**
   * It is a zombie. Where the main thread is one and others are left, it runs on, or holds its files until they are gone, too: by field 20,
   * in which the main thread counts until its parent has taken note of its end.
   */
  readonly isOver: boolean;
  readonly parent: number;
  readonly group: number;
}

/** The file's bytes; undefined when it cannot be read. */
export function readProc(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** The quickest that Node can; what is not UTF-8 in it does not matter. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export function statusOf(pid: number): ProcessStatus | undefined {
  const fields = statFields(`/proc/${pid}`);
  if (fields === undefined || fields.length < 20) {
    return undefined;
  }

  return {
    pid,
    state: fields[0]!,
    isOver: isZombie(fields[0]!) && Number(fields[17]) <= 1,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    startTime: fields[19]!,
  };
}

/**
 * The fields of proc(5)'s stat from the third on; the name before them, in parentheses, may itself hold parentheses and spaces.
 *
 * @param entry a process's or a thread's
 */
export function statFields(entry: string): readonly string[] | undefined {
  const stat = readText(`${entry}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

export function isZombie(state: string): boolean {
  return /[ZX]/.test(state);
}

/** Who has become invisible since is still there: as a shell is that has become su, on a /proc with `hidepid=2`. */
export function isAlive({pid, startTime}: Process): boolean {
  const status = statusOf(pid);
  return status === undefined ? isUnseen(pid) : status.startTime === startTime && !status.isOver;
}

/**
 * Whether there is such a process, and /proc does not show it: with `hidepid=2`, another user's, or one of our own that is not dumpable.
 * Which of the two, and since when it runs, nobody tells.
 */
export function isUnseen(pid: number): boolean {
  if (readText(`/proc/${pid}/stat`) !== undefined) {
    return false;
  }

  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** PF_EXITING, of the kernel's flags in field 9. */
const EXITING = 4;

/** Whether its only thread is on its way out: it runs no code of its own any more, though it may take a while to be gone. */
export function isExiting({pid, startTime}: Process): boolean {
  const fields = statFields(`/proc/${pid}`);
  return fields?.[19] === startTime && fields[17] === '1' && (Number(fields[6]) & EXITING) !== 0;
}

/** Whether it is in our process group, where it began. */
export function sharesGroup(pid: number): boolean {
  const group = statusOf(pid)?.group;
  return group === undefined || group === statusOf(process.pid)!.group;
}

/** One of the masks of signals in proc(5)'s status: those that are pending for the process, or that it ignores. */
export function signalMask(pid: number, name: 'ShdPnd' | 'SigIgn'): bigint {
  const line = readText(`/proc/${pid}/status`)?.split('\n').find(each => each.startsWith(`${name}:`));
  return BigInt(`0x${line?.slice(name.length + 1).trim() ?? '0'}`);
}

/** Of all its threads: who starts a process is its parent. */
export function childrenOf(pid: number): number[] {
  try {
    const lists = readdirSync(`/proc/${pid}/task`).map(task => readText(`/proc/${pid}/task/${task}/children`) ?? '');
    return lists.join(' ').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
