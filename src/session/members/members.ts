/**
 * What the command and the services of its bus have left running: found by descent, and ended.
 *
 * We are the sub-reaper of all that the command starts, and the keeper of all that the daemon starts: whatever a process has done to its
 * environment, its title, its session or its parents, it is below one of the two.
 */

import {explain} from '../../cli/log.js';
import {isAnotherJob, jobMembership, type SessionJob} from '../job.js';
import {holdsLock} from '../lock-table.js';
import {childrenOf, isAlive, isUnseen, readText, statusOf, type Process} from '../../system/processes.js';
import {RECORD_NAME} from '../../system/caller.js';
import {now} from '../../system/clock.js';
import {sleep} from '../../system/loop.js';
import {send, SIGNALS} from '../../system/signals.js';

export interface Member extends Process {
  readonly parent: number;
  readonly name: string;
  /** An inner jobbus-run, or the keeper of its session, which needs its time to end that. */
  readonly isWrapper: boolean;
}

/** Below whom members are, and who is none. */
export interface Roots {
  readonly processes: readonly Process[];
  /** Nor is who is below these: what a sweeper has started is its own. */
  readonly helpers: ReadonlySet<number>;
  /** The daemon, which is to answer to the end, and whom nothing ends; who is below these is one. */
  readonly spared: ReadonlySet<number>;
  /** The scheduler's job in which the session runs; undefined: nobody knows, and nothing is another job's. */
  readonly job: SessionJob | undefined;
}

/** What runs below the roots, nearest first; below an inner jobbus-run and its keeper nothing, for they end that by themselves; another job's neither. */
export function findMembers(roots: Roots): Member[] {
  return untilCalm(over => [...look(roots, over)]);
}

/** Whether anything runs below the roots: for whom the first is enough. */
export function hasMembers(roots: Roots): boolean {
  return untilCalm(over => {
    const {value: first} = look(roots, over).next();
    return first === undefined ? [] : [first];
  }).length > 0;
}

/** Whose parent has ended since the roots' children were listed is a child of theirs by now; and as one is reaped, the kernel skips another in its list. */
function untilCalm(lookOnce: (over: Set<number>) => Member[]): Member[] {
  const over = new Set<number>();
  for (;;) {
    const before = over.size;
    const found = lookOnce(over);
    if (found.length > 0 || over.size === before) {
      return found;
    }
  }
}

/** @param over takes in who has ended meanwhile */
function* look({processes, helpers, spared, job}: Roots, over: Set<number>): Generator<Member, undefined> {
  // The keeper may have been killed, and its pid be another's by now.
  const parents = processes.filter(isAlive).map(({pid}) => pid);
  for (const parent of parents) {
    for (const pid of childrenOf(parent).filter(child => !helpers.has(child))) {
      const status = statusOf(pid) ?? unseen(pid);
      if (status === undefined || status.isOver) {
        over.add(pid);
        continue;
      }

      const member = spared.has(pid) ? undefined : memberOf(status, parent, job);
      if (spared.has(pid) || member?.isWrapper === false) {
        parents.push(pid);
      }

      if (member !== undefined) {
        yield member;
      }
    }
  }
}

/** Where /proc does not show it, nobody tells since when it runs; should it be shown later on, it is another. */
function unseen(pid: number): (Process & {readonly isOver: boolean}) | undefined {
  return isUnseen(pid) ? {pid, startTime: '', isOver: false} : undefined;
}

/** @returns undefined for who is another user's by now, or belongs to another job */
function memberOf({pid, startTime}: Process, parent: number, job: SessionJob | undefined): Member | undefined {
  if (send(pid, 0) !== 0) {
    return undefined;
  }

  const entries = (readText(`/proc/${pid}/environ`) ?? '').split('\0');
  if (job !== undefined && isAnotherJob(jobMembership(entries, readText(`/proc/${pid}/cgroup`) ?? ''), job, true)) {
    return undefined;
  }

  return {pid, startTime, parent, name: (readText(`/proc/${pid}/comm`) ?? '').trim(), isWrapper: isWrapper(pid, entries)};
}

/**
 * A jobbus-run is proved by the lock that it holds; the variable is anybody's to set, and saves a look at the open files of all others. A keeper
 * holds none, nor does one that has become a sweeper, until it has claimed its session. Who merely looks like one gets time, and no more.
 */
function isWrapper(pid: number, entries: readonly string[]): boolean {
  const record = entries.find(entry => entry.startsWith(`${RECORD_NAME}=`));
  const isKeeper = record === undefined ? readText(`/proc/${pid}/cmdline`)?.startsWith('jobbus-keeper\0') === true : KEEPERS_RECORD.test(record);
  return isKeeper || (record !== undefined && holdsLock(pid));
}

/** As the frame writes it. */
const KEEPERS_RECORD = /^[^:]*:[^:]*:keeper\./;

/** Milliseconds for KILL to take effect. */
const KILL_TIME = 1500;

/** Milliseconds that an inner jobbus-run gets beyond the others, to end what it has started with a KILL of its own. */
const WRAPPER_TIME = 1500;

/** However long they take: where all wait for a processor, one look may take all the time, and the KILL came with it. */
const KILL_LOOKS = 20;

const POLL_INTERVAL = 1;
export const SLOW_POLL_INTERVAL = 10;

/**
 * Ends what `find` finds, and what it finds then: TERM to each once, then, when the time is over, KILL.
 *
 * What a process starts after its TERM is how it saves its work, the cp in a shell's trap: it, and what that starts in turn, gets none while its parent lives.
 *
 * @param grace milliseconds between TERM and KILL
 * @param earlier start times, by pid, of those that have been asked to end before, and may be saving; they get no TERM
 * @returns those that were there at the last look, and are killed: in an uninterruptible sleep, say, or started by one that was killed
 */
export async function endMembers(find: () => readonly Member[], grace: number, earlier: ReadonlyMap<number, string> = new Map()): Promise<readonly Process[]> {
  const asked = new Map(earlier);
  const noneAfterTerm = await waitUntil(() => {
    const found = find();
    const saving = new Set(found.filter(({pid, startTime}) => asked.get(pid) === startTime).map(({pid}) => pid));
    found.forEach(({pid, parent}) => saving.has(parent) && saving.add(pid));
    for (const target of found.filter(({pid}) => !saving.has(pid))) {
      asked.set(target.pid, target.startTime);
      explain(`ending ${target.name}, process ${target.pid}, which is left`);
      signal(target, SIGNALS.TERM);
      signal(target, SIGNALS.CONT); // A stopped process acts on TERM only once it runs.
    }

    return found.length === 0;
  }, grace);
  return noneAfterTerm ? [] : kill(find);
}

async function kill(find: () => readonly Member[]): Promise<readonly Process[]> {
  const start = now();
  const killed = new Set<number>();
  let found = find();
  const isOver = (): boolean => {
    found = find();
    const patience = now() - start < WRAPPER_TIME;
    for (const target of found.filter(({isWrapper}) => !isWrapper || !patience)) {
      if (!killed.has(target.pid)) {
        killed.add(target.pid);
        explain(`killing ${target.name}, process ${target.pid}: it has not ended after TERM`);
      }

      signal(target, SIGNALS.KILL);
    }

    return found.length === 0;
  };
  await waitUntil(isOver, found.some(({isWrapper}) => isWrapper) ? WRAPPER_TIME + KILL_TIME : KILL_TIME, KILL_LOOKS);
  return found;
}

/** Just before it is signalled, a pid may be another's. */
export function signal(target: Process, number: number): void {
  if (isAlive(target)) {
    send(target.pid, number);
  }
}

/** Asks again and again, soon often and later less so. @returns whether it came true within the time, in milliseconds */
export async function waitUntil(condition: () => boolean, time: number, leastLooks = 1): Promise<boolean> {
  let interval = POLL_INTERVAL;
  const deadline = now() + time;
  for (let looks = 1; !condition(); looks++) {
    if (now() >= deadline && looks >= leastLooks) {
      return false;
    }

    await sleep(interval);
    interval = Math.min(2 * interval, SLOW_POLL_INTERVAL);
  }

  return true;
}

