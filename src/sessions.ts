/**
 * Every session of this user on this node, and whether it lives: what `--list` shows and `--sweep` acts on.
 *
 * A wrong "dead" would end a running job, so a session is judged only where the judgement can be proved.
 */

import {readdirSync} from 'node:fs';
import {basename, dirname, isOwnDirectory, ownDirectory, parentName} from './directory.js';
import {networkFileSystemOf} from './filesystems.js';
import {lockedNames} from './lock.js';
import {parseName, placeLetters, type SessionName} from './name.js';
import {isAlive, type Process} from './processes.js';
import {readRecord, whereabouts, type Reading, type SessionRecord, type Whereabouts} from './record.js';

export interface FoundSession {
  readonly directory: string;
  /** The session's own name, without the claim of a sweeper. */
  readonly name: string;
  /** `elsewhere`: of another host, namespace or version, and left alone. */
  readonly state: 'live' | 'dead' | 'elsewhere';
  /** Why, in a few words. */
  readonly reason: string;
  /** Dead, as far as the table of locks tells. */
  readonly isUnlocked: boolean;
  readonly record: SessionRecord | undefined;
}

/** Milliseconds after which a directory of another boot without a record is none that another host is just making. */
const RECORD_TIME = 60_000;

/**
 * @param bases directories that may hold `jobbus-<uid>` directories; the same one may come twice
 * @param parents `jobbus-<uid>` directories that may be among those
 */
export function findSessions(bases: readonly string[], parents: readonly string[] = []): FoundSession[] {
  const directories = distinct([...[...new Set(bases)].flatMap(parentsIn), ...parents.filter(isOwnDirectory)]).flatMap(sessionPathsIn);
  // Looked at only now: a session has its lock before it has its directory, so one whose directory was found lives if it is
  // locked; and one that has ended meanwhile is gone.
  const locked = lockedNames();
  const here = whereabouts();
  return directories.flatMap(directory => examine(directory, locked.has(basename(directory)), here) ?? []);
}

/** Whether a session of this user's may have this path, written as a run writes it. */
export function isSessionPath(path: string): boolean {
  const [, , name = ''] = /^(\/[^]*)?\/([^/]+)\/([^/]+)$/.exec(path)?.slice(1) ?? [];
  const parent = basename(dirname(path));
  const common = parentName(process.getuid!());
  return parseName(name) !== undefined && (parent === common || parent.startsWith(`${common}-`));
}

function parentsIn(base: string): string[] {
  const common = parentName(process.getuid!());
  // The common name unlisted: there are bases that nobody may list.
  return [common, ...list(`${base}/`).filter(name => name.startsWith(`${common}-`))]
    .map(name => `${base.replace(/\/$/, '')}/${name}`)
    .filter(isOwnDirectory);
}

/** Of the paths that lead to one directory, the first: TMPDIR may be a link to /tmp. */
function distinct(parents: readonly string[]): string[] {
  const identities = parents.map(parent => {
    const found = ownDirectory(parent);
    return `${found?.dev}:${found?.ino}`;
  });
  return parents.filter((_, index) => identities.indexOf(identities[index]!) === index);
}

function sessionPathsIn(parent: string): string[] {
  return list(parent).filter(entry => parseName(entry) !== undefined).map(entry => `${parent}/${entry}`);
}

/**
 * What seems dead is looked at once more: it may have been removed meanwhile, or handed over to a shell, which the record told
 * before its first owner was gone.
 */
function examine(directory: string, isLocked: boolean, here: Whereabouts): FoundSession | undefined {
  const found = look(directory, isLocked, here);
  return found?.state === 'dead' ? look(directory, isLocked, here) : found;
}

/** @returns undefined where there is nothing, or nothing of this user's */
function look(directory: string, isLocked: boolean, here: Whereabouts): FoundSession | undefined {
  const found = ownDirectory(directory);
  if (found === undefined) {
    return undefined;
  }

  const parsed = parseName(basename(directory))!;
  const reading = readRecord(directory, parsed.name);
  const verdict = judge({parsed, isLocked, onNetwork: isOnNetwork(dirname(directory)), age: Date.now() - found.ctimeMs, reading}, here);
  return {directory, name: parsed.name, ...verdict, record: recordOf(reading)};
}

/** What is known of a session. */
export interface Evidence {
  readonly parsed: SessionName;
  readonly isLocked: boolean;
  readonly onNetwork: boolean;
  /** Of the directory, in milliseconds. */
  readonly age: number;
  readonly reading: Reading;
}

type Verdict = Pick<FoundSession, 'state' | 'reason' | 'isUnlocked'>;

export function judge(evidence: Evidence, here: Whereabouts): Verdict {
  const distance = distanceOf(evidence.reading, here);
  if (distance !== undefined) {
    return evidence.isLocked ? live('its lock is held') : elsewhere(distance);
  }

  const owner = ownerOf(evidence, here);
  if (owner !== undefined) {
    // Whoever holds its lock: anybody may bind a name that its owner has left.
    return isAlive(owner) ? live('its process is there') : dead('its process is gone');
  }

  if (evidence.isLocked) {
    return live('its lock is held');
  }

  const record = recordOf(evidence.reading);
  return record === undefined ? judgeByName(evidence, here) : judgeByRecord(record, evidence.onNetwork, here);
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

  return isOfThisBoot(parsed.place, here) || onNetwork || age <= RECORD_TIME ? elsewhere('it has no record') : dead('of an earlier boot, without a record');
}

/** As the name's first four letters of its place tell. */
function isOfThisBoot(place: string, here: Whereabouts): boolean {
  return place.slice(0, 4) === placeLetters(here).slice(0, 4);
}

/** The process to look for, where a pid means here what it meant there: other hosts have a pid namespace of the same number. */
function ownerOf({parsed: {place, claim}, reading}: Evidence, here: Whereabouts): Process | undefined {
  if (claim !== undefined) {
    return isOfThisBoot(place, here) && claim.pidNamespace === here.pidNamespace ? claim.sweeper : undefined;
  }

  const record = recordOf(reading);
  return record?.boot === here.boot && record.pidNamespace === here.pidNamespace ? record.owner : undefined;
}

function recordOf(reading: Reading): SessionRecord | undefined {
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

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** True when it is gone: nobody can tell any more. */
function isOnNetwork(path: string): boolean {
  try {
    return networkFileSystemOf(path) !== undefined;
  } catch {
    return true;
  }
}
