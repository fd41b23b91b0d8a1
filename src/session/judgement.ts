/** Whether a session lives. A wrong "dead" would end a running job, so one is judged only where the judgement can be proved. */

import type {Holding} from './place/marker.js';
import {claimNamespace, placeLetters, type SessionName} from './name.js';
import {isAlive, isUnseen, type Process} from '../system/processes.js';
import {INIT, type Reading, type SessionRecord, type Whereabouts} from './record.js';

/** Milliseconds after which a directory is none that is just being made: by another host, or by a run that has no process there yet. */
const SETUP_TIME = 60_000;

/** What is known of a session. */
export interface Evidence {
  readonly parsed: SessionName;
  readonly isLocked: boolean;
  readonly onNetwork: boolean;
  /** Of the directory, in milliseconds. */
  readonly age: number;
  readonly reading: Reading;
  readonly holding: Holding;
  /** Whether a process that can be seen here has the session's name in its environment; it takes a look at all of them. */
  readonly isMentioned: () => boolean;
}

export interface Verdict {
  /** `elsewhere`: of another host, namespace or version, and left alone. */
  readonly state: 'live' | 'dead' | 'elsewhere';
  /** Why, in a few words. */
  readonly reason: string;
  /** Dead, as far as the table of locks tells. */
  readonly isUnlocked: boolean;
}

export function judge(evidence: Evidence, here: Whereabouts): Verdict {
  const verdict = judgeLife(evidence, here);
  // Somebody may have given another directory of the user's this name.
  return verdict.state === 'dead' && evidence.holding === 'unmarked' ? elsewhere('nothing in it shows that jobbus-run made it') : verdict;
}

function judgeLife(evidence: Evidence, here: Whereabouts): Verdict {
  const distance = distanceOf(evidence.reading, here);
  if (distance !== undefined) {
    return evidence.isLocked ? live('its lock is held') : elsewhere(distance);
  }

  const owner = ownerOf(evidence, here);
  if (owner !== undefined) {
    // Whoever holds its lock: anybody may bind a name that its owner has left.
    return (isAlive(owner) && !isClaimedForUs(evidence.parsed)) || isKept(evidence) ? live('its process is there') : dead('its process is gone');
  }

  if (evidence.isLocked && !isDeserted(evidence, here)) {
    return live('its lock is held');
  }

  const record = recordOf(evidence.reading);
  const verdict = record === undefined ? judgeByName(evidence, here) : judgeByRecord(record, evidence.onNetwork, here);
  return evidence.isLocked && verdict.state === 'dead' ? dead('its processes are gone') : verdict;
}

/**
 * Whether a lock is none of the session's: anybody may bind the name of one that has ended. As long as one lives, there is a keeper, a daemon or
 * a command that bears its name, where all processes of the machine can be seen; should it have lost all of these, nobody is ended by mistake.
 */
function isDeserted(evidence: Evidence, here: Whereabouts): boolean {
  return evidence.parsed.claim === undefined && here.pidNamespace === INITIAL_PID_NAMESPACE && evidence.age > SETUP_TIME && !evidence.isMentioned();
}

/** A shared session goes on when its first has ended, as long as its keeper sees to that. Asked only where the owner's pid means something. */
function isKept({parsed, reading}: Evidence): boolean {
  const keeper = recordOf(reading)?.share?.keeper;
  return parsed.claim === undefined && keeper !== undefined && isAlive(keeper);
}

/** A run claims a session in the name of the sweeper that it starts. */
function isClaimedForUs({claim}: SessionName): boolean {
  return claim?.sweeper.pid === process.pid;
}

/** What keeps us from judging a session, wherever its process is. */
function distanceOf(reading: Reading, here: Whereabouts): string | undefined {
  if (reading.kind === 'alien') {
    return 'of another version of jobbus-run';
  }

  const record = recordOf(reading);
  return record?.boot === here.boot && record.networkNamespace !== here.networkNamespace ? 'in another network namespace' : undefined;
}

function judgeByRecord(record: SessionRecord, onNetwork: boolean, here: Whereabouts): Verdict {
  if (record.boot !== here.boot) {
    return record.host === here.host && !onNetwork ? dead('of an earlier boot') : elsewhere(`of another boot, on host ${record.host}`);
  }

  // Who cannot see its processes cannot end them.
  return record.pidNamespace === INITIAL_PID_NAMESPACE && record.pidNamespace !== here.pidNamespace
    ? elsewhere('in the pid namespace around this one')
    : dead('its lock is free', true);
}

/** The kernel's own number, since Linux 3.8. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

function judgeByName({parsed, onNetwork, age}: Evidence, here: Whereabouts): Verdict {
  if (parsed.place === placeLetters(here)) {
    return dead('its lock is free, and it has no record', true);
  }

  return isOfThisBoot(parsed.place, here) || onNetwork || age <= SETUP_TIME ? elsewhere('it has no record') : dead('of an earlier boot, without a record');
}

/** As the name's first four letters of its place tell. */
function isOfThisBoot(place: string, here: Whereabouts): boolean {
  return place.slice(0, 4) === placeLetters(here).slice(0, 4);
}

/**
 * The process to look for. None where /proc does not show its pid, unless it is a shell, which may have become invisible: a jobbus-run's is
 * another process's by now, and the lock can tell.
 *
 * Never the first of a pid namespace, a container's shell or jobbus-run itself, say: it is there as long as the namespace, so that its life
 * proves nothing, and anybody can name it.
 */
function ownerOf(evidence: Evidence, here: Whereabouts): Process | undefined {
  const owner = namedOwner(evidence, here);
  const isShell = evidence.parsed.claim === undefined && recordOf(evidence.reading)?.shell !== undefined;
  return owner === undefined || owner.pid === INIT || (!isShell && isUnseen(owner.pid)) ? undefined : owner;
}

/** Where a pid and a start time mean here what they meant there: other hosts have a pid namespace of the same number. */
function namedOwner({parsed: {place, claim}, reading}: Evidence, here: Whereabouts): Process | undefined {
  if (claim !== undefined) {
    return isOfThisBoot(place, here) && claim.pidNamespace === claimNamespace(here) ? claim.sweeper : undefined;
  }

  const record = recordOf(reading);
  return record !== undefined && isFromHere(record, here) ? record.owner : undefined;
}

/** Whether what it says of processes means something here. */
export function isFromHere(record: SessionRecord, here: Whereabouts): boolean {
  return record.boot === here.boot && record.pidNamespace === here.pidNamespace && record.timeNamespace === here.timeNamespace;
}

export function recordOf(reading: Reading): SessionRecord | undefined {
  return reading.kind === 'record' ? reading.record : undefined;
}

function live(reason: string): Verdict {
  return {state: 'live', reason, isUnlocked: false};
}

function dead(reason: string, isUnlocked = false): Verdict {
  return {state: 'dead', reason, isUnlocked};
}

function elsewhere(reason: string): Verdict {
  return {state: 'elsewhere', reason, isUnlocked: false};
}
