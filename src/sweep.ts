/**
 * The sweep: ends and removes what dead sessions have left.
 *
 * A session is claimed by renaming its directory, which only one sweeper can do. The new name carries the sweeper's own lock,
 * so a sweeper that is killed half-way leaves a dead session again, and the next one goes on.
 */

import {renameSync} from 'node:fs';
import {busSocket, daemonMarks} from './bus.js';
import {basename, dirname, discardEmpty, isClaimed, leaveLink} from './directory.js';
import {takeLock, type Lock} from './lock.js';
import {print, printable, warn} from './log.js';
import {claimName, parseName} from './name.js';
import type {SweepOptions} from './options.js';
import {isMarked, waitUntil, type JobMembership} from './processes.js';
import {whereabouts} from './record.js';
import {findSessions, isSessionPath, type FoundSession} from './sessions.js';
import {endSession} from './teardown.js';

export interface Swept {
  readonly session: FoundSession;
  /** What could not be ended or removed. */
  readonly remains: readonly string[];
}

/** Milliseconds between TERM and KILL, for sessions whose record does not say. */
const DEFAULT_STOP_TIMEOUT = 1000;

/** Milliseconds for a killed process to be gone. */
const EXIT_TIME = 1000;

/**
 * @param onSwept called for each session that this sweeper has dealt with
 * @param mayGoOn asked behind each: one is swept in any case, lest runs on a node that is too slow for their time never get ahead
 */
export async function sweep(bases: readonly string[], onSwept: (swept: Swept) => void, mayGoOn = (): boolean => true): Promise<void> {
  for (const session of findSessions(bases).filter(({state}) => state === 'dead')) {
    // A run takes in its signals, and the end of its command, between one session and the next.
    await new Promise(setImmediate);
    await sweepSession(session, onSwept);
    if (!mayGoOn()) {
      return;
    }
  }
}

/**
 * Sweeps one session, whose jobbus-run was killed a moment ago, perhaps before it could write a record or after it had removed it.
 *
 * @param keepersJob where the session's own keeper asks, who knows that its owner is gone: its job, which is the session's
 * @returns false when the path is none of a session of this user's
 */
export async function sweepDirectory(directory: string, onSwept: (swept: Swept) => void, keepersJob: JobMembership | undefined): Promise<boolean> {
  if (!isSessionPath(directory)) {
    return false;
  }

  const {name} = parseName(basename(directory))!;
  const find = (): FoundSession | undefined => findSessions([dirname(dirname(directory))], [dirname(directory)]).find(session => session.name === name);
  // A process that is killed closes its descriptors one by one: the pipe to its keeper, and its lock perhaps a moment later.
  await waitUntil(() => find()?.state !== 'live', EXIT_TIME);
  const session = find();
  if (session === undefined && keepersJob !== undefined && !isClaimed(directory)) {
    await endWithoutDirectory(directory, keepersJob);
  } else if (session === undefined) {
    discardEmpty(dirname(directory)); // The session had not been made yet; its parent may have been.
  } else if (session.state === 'dead' || (keepersJob !== undefined && isLeftByOwner(session))) {
    await sweepSession(session, onSwept, keepersJob);
  }

  return true;
}

/** Its record is gone, and its lock is held by the daemon; or so it seems, where a neighbour has bound the name. */
function isLeftByOwner({directory, name, state, record}: FoundSession): boolean {
  return state === 'live' && record === undefined && basename(directory) === name;
}

/** The command has removed its directory, but not its bus, or it is out of reach; or nothing had been made yet but, perhaps, the parent. */
async function endWithoutDirectory(directory: string, job: JobMembership): Promise<void> {
  const ending = {
    directory, marks: daemonMarks(directory), since: undefined, job, daemon: undefined, busSocket: busSocket(directory), stopTimeout: DEFAULT_STOP_TIMEOUT, keep: false,
  };
  (await endSession(ending)).forEach(warn);
}

/**
 * Ends a live session whose owner has asked for it.
 *
 * @param spared processes that are not ended
 * @returns what could not be ended or removed; undefined when another process is at it
 */
export async function endLiveSession(session: FoundSession, spared: readonly number[]): Promise<readonly string[] | undefined> {
  const claimed = await claim(session);
  return claimed === undefined ? undefined : endClaimedSession(session, claimed, {spared});
}

/** For people: what was done, in a line. */
export function outcome({session, remains}: Swept): string {
  const what = `${session.directory}: dead (${session.reason})`;
  return printable(remains.length === 0 ? `${what}; removed` : `${what}; not all could be removed: ${remains.join('; ')}`);
}

async function sweepSession(session: FoundSession, onSwept: (swept: Swept) => void, job?: JobMembership): Promise<void> {
  const claimed = await claim(session);
  if (claimed !== undefined) {
    onSwept({session, remains: await endClaimedSession(session, claimed, {job})});
  }
}

/** @returns the directory's path under our name; undefined when another was faster */
async function claim(session: FoundSession): Promise<string | undefined> {
  // The table of locks is read a page at a time, and one that is there may be missed as others go. A name that can be bound is free.
  const name = claimName(session.name, whereabouts().pidNamespace);
  const locks: Lock[] = [];
  for (const lockName of [...(session.isUnlocked ? [basename(session.directory)] : []), name]) {
    const lock = await takeLock(lockName);
    if (!lock.ok) {
      locks.forEach(taken => taken.release());
      return undefined;
    }

    locks.push(lock.value);
  }

  const claimed = `${dirname(session.directory)}/${name}`;
  try {
    renameSync(`${session.directory}/`, claimed); // The slash demands a directory: another sweeper may have left its link there.
    leaveLink(ownPath(session), name);
    return claimed;
  } catch {
    locks.forEach(taken => taken.release());
    return undefined;
  }
}

/** Where it was before anybody claimed it, and where its processes look for it. */
function ownPath({directory, name}: FoundSession): string {
  return `${dirname(directory)}/${name}`;
}

interface Circumstances {
  readonly job?: JobMembership | undefined;
  readonly spared?: readonly number[];
}

async function endClaimedSession(session: FoundSession, claimed: string, {job, spared = []}: Circumstances): Promise<readonly string[]> {
  const {record} = session;
  const marks = daemonMarks(ownPath(session), record?.address);
  return endSession({
    directory: claimed,
    link: ownPath(session),
    marks,
    since: undefined,
    job: record === undefined ? job : record.job,
    daemon: record?.daemon !== undefined && isMarked(record.daemon, marks) ? record.daemon : undefined,
    busSocket: busSocket(ownPath(session), record?.address), // A claim is longer than a socket's path may be.
    stopTimeout: record?.stopTimeout ?? DEFAULT_STOP_TIMEOUT,
    keep: record?.keep ?? false,
    spared,
  });
}

/** `--sweep`: says what it did, a line each. @returns the exit status: 1 where something is left */
export async function sweepAsAsked({directory}: SweepOptions, bases: readonly string[], job?: JobMembership): Promise<number> {
  let status = 0;
  const report = (swept: Swept): void => {
    print(`${outcome(swept)}\n`);
    status = swept.remains.length === 0 ? status : 1;
  };
  if (directory === undefined) {
    await sweep(bases, report);
  } else if (!(await sweepDirectory(directory, report, job))) {
    warn(`sweeping ${directory} failed: it is not the path of a session's directory; see jobbus-run --list`);
    return 125;
  }

  return status;
}
