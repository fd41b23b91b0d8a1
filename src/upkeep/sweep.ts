/** The sweep: ends and removes what dead sessions have left. */

import {existsSync} from 'node:fs';
import {mistrust} from '../session/place/ancestors.js';
import {answering} from '../session/place/answers.js';
import {uncoverParents, withoutLinks} from '../session/place/covers.js';
import {basename, dirname, discardEmpty, isClaimed} from '../session/place/directory.js';
import {ownJob} from '../session/job.js';
import {print, printable, warn} from '../cli/log.js';
import {detachMountsBelow} from '../system/detaching.js';
import {parseName} from '../session/name.js';
import type {SweepOptions} from '../cli/options.js';
import {statusOf} from '../system/processes.js';
import {endFoundSession, endWithoutDirectory, type Circumstances} from '../session/claim.js';
import {takeLock} from '../session/lock.js';
import {findBorne} from '../session/members/belonging.js';
import {waitUntil} from '../session/members/members.js';
import {sweptBases} from '../session/place/candidates.js';
import {retireAll} from '../session/meeting-file.js';
import {awaitMembers} from '../session/sharing.js';
import {commonParents, findSessions, isSessionPath, type FoundSession} from '../session/sessions.js';
import type {Caller} from '../system/caller.js';

/** Milliseconds for a killed process to be gone. */
const EXIT_TIME = 1000;

/** Of who is no keeper. */
const STRANGER: Circumstances = {keeper: undefined};

/**
 * In one round, and another, until one finds no more: a session that a run claims for us as we look may be seen under neither name, or under the first,
 * and be gone from there when we claim it.
 *
 * @param bases whose file systems answer
 * @returns the exit status
 */
async function sweep(bases: readonly string[]): Promise<number> {
  await uncoverParents(bases);
  const over = new Set<string>();
  let status = 0;
  for (let rounds = 1, found = 1; found > 0 || rounds <= 2; rounds++) {
    const dead = (await uncoveredDead(bases)).filter(({name, directory}) => !over.has(name) && !over.has(directory));
    const circumstances: Circumstances = dead.length > 1 ? {...STRANGER, isBorne: findBorne()} : STRANGER;
    for (const session of dead) {
      const remains = await sweepSession(session, circumstances);
      over.add(remains === undefined ? session.directory : session.name);
      status ||= exitStatus(remains);
    }

    found = dead.length;
  }

  retireIn(bases);
  return status;
}

function retireIn(bases: readonly string[]): void {
  commonParents(bases).forEach(parent => retireAll(parent, bases));
}

/** Those that are dead; what was mounted on one is detached, at a second try where a run has claimed it for us meanwhile. */
async function uncoveredDead(bases: readonly string[]): Promise<readonly FoundSession[]> {
  const look = (): readonly FoundSession[] => findSessions(bases).filter(({state}) => state === 'dead');
  let dead = look();
  for (let tries = 1; tries <= 2 && dead.some(({isCovered}) => isCovered); tries++) {
    for (const session of dead.filter(({isCovered}) => isCovered)) {
      await uncover(session);
    }

    dead = look();
  }

  return dead;
}

/**
 * Sweeps one session, whose owner has ended a moment ago, perhaps before it could write a record or after it had removed it.
 *
 * @param circumstances of the session's own keeper, which knows that its owner is gone, and that it made the directory; or of somebody else
 * @returns the exit status
 */
async function sweepDirectory(directory: string, circumstances: Circumstances): Promise<number> {
  const isKeeper = circumstances.keeper !== undefined;
  const problem = pathProblem(directory, isKeeper);
  if (problem !== undefined) {
    warn(`sweeping ${directory} failed: ${problem}`);
    return 125;
  }

  await uncoverParents([dirname(dirname(directory))]);
  const {name} = parseName(basename(directory))!;
  if (isKeeper) {
    await awaitMembers(directory);
  }

  const find = (): FoundSession | undefined => findSessions([dirname(dirname(directory))], [dirname(directory)]).find(session => session.name === name);
  // A process that is killed closes its descriptors one by one: the pipe to its keeper, and its lock perhaps a moment later.
  const isEnding = (session: FoundSession | undefined): boolean => session?.state !== 'live' || (isKeeper && isOurs(session));
  await waitUntil(() => isEnding(find()), EXIT_TIME);
  const covered = find();
  if (covered?.isCovered && (covered.state === 'dead' || isKeeper)) {
    await uncover(covered);
  }

  const session = find();
  let remains: readonly string[] | undefined;
  if (session === undefined && isKeeper && !isClaimed(directory)) {
    // The command has removed its directory, but not its bus, or it is out of reach; or nothing had been made yet but, perhaps, the parent.
    (await endWithoutDirectory(directory, circumstances)).forEach(warn);
  } else if (session === undefined) {
    discardEmpty(dirname(directory)); // The session had not been made yet; its parent may have been.
  } else if (session.state === 'dead' || (isKeeper && (isLeftByOwner(session) || isOurs(session)))) {
    remains = await sweepSession(session, circumstances);
  }

  if (isKeeper) {
    retireIn(sweptBases({}, dirname(dirname(directory))));
  }

  return exitStatus(remains);
}

/** It was shared, its first has ended, and all that keeps it is this process, its keeper. */
function isOurs(session: FoundSession): boolean {
  return session.state === 'live' && session.record?.share?.keeper.pid === process.pid;
}

/** Why the path is not looked at. Where the parent is gone, so is what was in it. */
function pathProblem(directory: string, isKeeper: boolean): string | undefined {
  if (!isSessionPath(directory)) {
    return "it is not the path of a session's directory; see jobbus-run --list";
  }

  const parent = dirname(directory);
  const problem = isKeeper || !existsSync(parent) ? undefined : mistrust(parent);
  return problem && `${parent}: ${problem}; remove it by hand`;
}

/**
 * Its record is gone, and its lock is held by the daemon, or so it seems, where a neighbour has bound the name; or its marker is gone, too. Its keeper
 * knows whose it is.
 */
function isLeftByOwner({directory, name, state, isMarked, record}: FoundSession): boolean {
  return (state === 'live' || !isMarked) && record === undefined && basename(directory) === name;
}

/** Detaches what is mounted on a dead session, so that it can be looked at. */
async function uncover({directory, isUnlocked}: FoundSession): Promise<void> {
  const lock = isUnlocked ? takeLock(basename(directory)) : undefined;
  if (lock?.ok !== false) {
    await detachMountsBelow(withoutLinks(directory));
  }

  if (lock?.ok) {
    lock.value.release();
  }
}

/** Says what it did. @returns what could not be ended or removed; undefined where it was not ours to sweep */
async function sweepSession(session: FoundSession, circumstances: Circumstances): Promise<readonly string[] | undefined> {
  const remains = await endFoundSession(session, circumstances);
  retireAll(dirname(session.directory), [dirname(dirname(session.directory))]); // At once: another session may take long.
  if (remains !== undefined) {
    const what = remains.length === 0 ? 'removed' : `not all could be removed: ${remains.join('; ')}`;
    print(`${printable(`${session.directory}: dead (${session.reason}); ${what}`)}\n`);
  }

  return remains;
}

function exitStatus(remains: readonly string[] | undefined): number {
  return remains === undefined || remains.length === 0 ? 0 : 1;
}

/** `--sweep`: says what it did, a line each. @returns the exit status: 1 where something is left */
export async function sweepAsAsked({directory}: SweepOptions, bases: readonly string[], caller: Caller): Promise<number> {
  const places = await answering(directory === undefined ? bases : [dirname(dirname(directory))], warn);
  if (directory === undefined) {
    return sweep(places);
  }

  return places.length === 0 ? 1 : sweepDirectory(directory, circumstancesOf(caller));
}

/** A keeper has its session's environment, and so its job's; it is the parent of the daemon. */
function circumstancesOf({keeperOf, environment}: Caller): Circumstances {
  return keeperOf === undefined ? STRANGER : {keeper: statusOf(process.pid)!, known: {job: ownJob(environment), daemon: keeperOf === 0 ? undefined : statusOf(keeperOf)}};
}
