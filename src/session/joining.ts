/** Becoming part of a session that lives: which one is meant, whether it can be joined from here, and what is to be known of it. */

import {answering} from './place/answers.js';
import {sweptBases} from './place/candidates.js';
import {basename, dirname} from './place/directory.js';
import {connectProblem} from './place/sockets.js';
import {busSocket} from './bus-plan.js';
import {sessionChanges, type Changes} from './environment.js';
import {failed, success, type Failure, type Result} from '../cli/failure.js';
import {explain} from '../cli/log.js';
import {becomeCommand, changedEntries, type CommandLine} from './frame.js';
import {listedJob} from './job.js';
import {isFromHere} from './judgement.js';
import {whereabouts, type SessionRecord} from './record.js';
import {findSessions, isSessionPath, type FoundSession} from './sessions.js';
import {enter} from './register.js';
import type {Incoming} from './incoming.js';
import {ifPossible} from '../system/if-possible.js';
import type {Caller} from '../system/caller.js';
import {statusOf} from '../system/processes.js';
import {setAction, SIGNALS} from '../system/signals.js';
import {lstatSync} from 'node:fs';

/** A session that lives, here. */
export interface Joinable {
  readonly directory: string;
  readonly record: SessionRecord;
}

/** @param session its directory, its job's id, or the pid of its owner */
export async function findJoinable(session: string, runtimeBase: string | undefined, caller: Caller): Promise<Result<Joinable>> {
  const isPath = session.startsWith('/');
  const path = session.replace(/(?<=.)\/+$/, '');
  if (isPath && !isSessionPath(path)) {
    return unjoinable(session, pathProblem(path));
  }

  const matches = isPath ? ({directory}: FoundSession): boolean => directory === path : ({record}: FoundSession): boolean => record !== undefined && (listedJob(record.job) === session || String(record.owner.pid) === session);
  const bases = await answering(isPath ? [dirname(dirname(path))] : sweptBases(caller.environment, runtimeBase));
  if (bases.length === 0) {
    return unjoinable(session, 'its file system does not answer; try again when it does');
  }

  const found = findSessions(bases).filter(matches);
  const live = found.filter(({state}) => state === 'live');
  if (live.length > 1) {
    return unjoinable(session, `it may be each of ${live.map(({directory}) => directory).join(', ')}; name one of these`);
  }

  const one = live[0] ?? found[0];
  return one === undefined ? unjoinable(session, isPath ? pathProblem(path) : NO_SUCH) : asJoinable(session, one);
}

function pathProblem(path: string): string {
  const owner = ifPossible(() => lstatSync(path).uid);
  if (owner === undefined) {
    return NO_SUCH;
  }

  return owner === process.getuid!() ? 'it is not the directory of a session; see jobbus-run --list' : 'it belongs to another user; join one of yours, see jobbus-run --list';
}

const NO_SUCH = 'you have no such session on this node; see jobbus-run --list';

/** @param session for people */
export function asJoinable(session: string, {directory, name, state, reason, record}: FoundSession): Result<Joinable> {
  if (state === 'dead' || basename(directory) !== name) {
    return unjoinable(session, state === 'dead' ? `it is dead (${reason}); start another` : 'it is ending; start another');
  }

  if (state === 'elsewhere') {
    return unjoinable(session, `it is out of reach: ${reason}; join it where it runs`);
  }

  if (record === undefined) {
    return unjoinable(session, 'it has no record: it is being made, or its command has removed that; try again');
  }

  if (!isFromHere(record, whereabouts())) {
    return unjoinable(session, 'it is out of reach: in another pid or time namespace; join it where it runs');
  }

  const problem = connectProblem(busSocket(directory, record.address));
  return problem === undefined ? success({directory, record}) : unjoinable(session, `its bus does not answer: ${problem}; start another`);
}

export function unjoinable(session: string, problem: string): Result<never> {
  return failed({kind: 'join', session, problem});
}

export function joinedVariables({directory, record}: Joinable, busOnly: boolean): Changes {
  return sessionChanges(directory, record.address, busOnly || record.busOnly === true);
}

/** From now on signals do to us what they will do to the command, and what is written where no file may be so large fails. */
export function beCallers(incoming: Incoming): void {
  incoming.letGo();
  setAction(SIGNALS.XFSZ, 'ignore');
}

/** Becomes the command, with the session's variables: it is known to the session's end, and nothing of ours is left. @returns only if it fails */
export function becomeMember(joinable: Joinable, {path, words}: Omit<CommandLine, 'environment'>, variables: Changes, caller: Caller, incoming: Incoming, kind: 'guest' | 'member' = 'guest'): Failure | string {
  const {pid, startTime} = statusOf(process.pid)!;
  const problem = enter(joinable.directory, {pid, startTime}, kind);
  if (problem !== undefined) {
    return problem;
  }

  const signal = incoming.interruption();
  if (signal !== undefined) {
    return {kind: 'interrupted', signal};
  }

  explain(`process ${pid} becomes ${String(words[0])}, in ${joinable.directory}`);
  incoming.giveBack();
  return becomeCommand({path, words, environment: changedEntries(caller, variables)}, caller);
}
