/**
 * Taking a session over from its owner: by renaming its directory, which only one process can do, to a name that carries our own
 * identity and lock. Whoever is killed half-way leaves a dead session, and the next one goes on.
 */

import {renameSync} from 'node:fs';
import {isMarked} from './members/belonging.js';
import {busSocket, daemonMarks} from './bus-plan.js';
import {basename, dirname, leaveLink} from './place/directory.js';
import type {JobMembership} from './job.js';
import {claimName, jobOfName} from './name.js';
import {ifPossible} from '../system/if-possible.js';
import {statusOf, type Process} from '../system/processes.js';
import {whereabouts, type SessionRecord} from './record.js';
import type {FoundSession} from './sessions.js';
import {takeLock, type Lock} from './lock.js';
import {endSession, type Ending} from './teardown.js';

/** Milliseconds between TERM and KILL, for sessions whose record does not say. */
const DEFAULT_STOP_TIMEOUT = 1000;

export interface Circumstances {
  /** The session's keeper, below which the services of its bus are; undefined where there is none any more. */
  readonly keeper: Process | undefined;
  /** What the keeper itself knows of a session without a record. */
  readonly known?: {readonly job: JobMembership; readonly daemon: Process | undefined};
  /** Processes that are not ended. */
  readonly spared?: readonly number[];
  /** Whether any process bears one of these marks; who knows that there is none need not look again for each session. */
  readonly isBorne?: (marks: readonly string[]) => boolean;
}

/** Takes a session over and ends it. @returns what could not be ended or removed; undefined when another process is at it */
export async function endFoundSession(session: FoundSession, circumstances: Circumstances): Promise<readonly string[] | undefined> {
  const directory = claim(session, statusOf(process.pid)!);
  return directory === undefined ? undefined : endSession({...endingOf(session, circumstances), directory, link: ownPath(session)});
}

/** Ends what is left of a session that has no directory any more, or none yet. */
export async function endWithoutDirectory(directory: string, circumstances: Circumstances): Promise<readonly string[]> {
  return endSession(endingOf({directory, name: basename(directory), isMarked: false, record: undefined}, circumstances));
}

function endingOf(session: Pick<FoundSession, 'directory' | 'name' | 'isMarked' | 'record'>, {keeper, known, spared = [], isBorne = () => true}: Circumstances): Ending {
  const {directory, isMarked: isMade, record} = session;
  const path = ownPath(session);
  const entries = daemonMarks(path, record?.address);
  const daemon = record && presentDaemon(record);
  return {
    directory,
    roots: keeper === undefined ? [] : [keeper],
    // A claim is longer than a socket's path may be.
    ...(isBorne(entries) && {marks: {entries, busSocket: busSocket(path, record?.address), spared: keeper === undefined ? spared : [...spared, keeper.pid]}}),
    helpers: new Set(),
    job: record?.job ?? known?.job ?? jobOfName(session.name),
    keyring: record?.keyring,
    daemon: daemon !== undefined && isMarked(daemon, entries) ? daemon : known?.daemon,
    stopTimeout: record?.stopTimeout ?? DEFAULT_STOP_TIMEOUT,
    keep: record?.keep ?? false,
    isUnmarked: !isMade && known === undefined,
  };
}

/**
 * @param sweeper this process; or one that was started for the session, and is to take the lock itself
 * @returns the directory's path under its name; undefined when another was faster
 */
export function claim(session: FoundSession, sweeper: Process): string | undefined {
  const name = claimName(session.name, whereabouts(), sweeper);
  const locks = claimLocks(session, name);
  const claimed = locks && rename(session, name);
  if (claimed === undefined || sweeper.pid !== process.pid) {
    locks?.forEach(taken => taken.release());
  }

  return claimed;
}

/**
 * The table of locks is read a page at a time, and one that is there may be missed as others go. A name that can be bound is free.
 *
 * @returns undefined when another process has one of them
 */
function claimLocks(session: FoundSession, name: string): readonly Lock[] | undefined {
  const names = [...(session.isUnlocked ? [basename(session.directory)] : []), name];
  const locks = names.map(takeLock).filter(lock => lock.ok).map(({value}) => value);
  if (locks.length === names.length) {
    return locks;
  }

  locks.forEach(taken => taken.release());
  return undefined;
}

/** @returns the directory's path under this name; undefined when another was faster */
function rename(session: FoundSession, name: string): string | undefined {
  const claimed = `${dirname(session.directory)}/${name}`;
  return ifPossible(() => {
    renameSync(`${session.directory}/`, claimed); // The slash demands a directory: another sweeper may have left its link there.
    leaveLink(ownPath(session), name);
    return claimed;
  });
}

/** As /proc shows it to us: a start time of another time namespace means nothing here. */
function presentDaemon({daemon, timeNamespace}: SessionRecord): Process | undefined {
  return daemon !== undefined && timeNamespace !== whereabouts().timeNamespace ? statusOf(daemon.pid) : daemon;
}

/** Where it was before anybody claimed it, and where its processes look for it. */
function ownPath({directory, name}: Pick<FoundSession, 'directory' | 'name'>): string {
  return `${dirname(directory)}/${name}`;
}
