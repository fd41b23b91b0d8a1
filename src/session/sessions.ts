/**
 * Every session of this user on this node, as it is judged: what `--list` shows and `--sweep` acts on.
 */

import {existsSync, readdirSync} from 'node:fs';
import {mistrust} from './place/ancestors.js';
import {isMentioned} from './members/belonging.js';
import {findCovers} from './place/covers.js';
import {basename, commonParent, dirname, isParentName, ownDirectory} from './place/directory.js';
import {ifPossible} from '../system/if-possible.js';
import {networkFileSystemOf} from '../system/filesystems.js';
import {lockedNames} from './lock-table.js';
import {holdingOf} from './place/marker.js';
import {judge, recordOf, type Evidence, type Verdict} from './judgement.js';
import {parseName} from './name.js';
import {readRecord, whereabouts, type SessionRecord, type Whereabouts} from './record.js';
import {REMOVED_LAST} from './place/removal.js';

export interface FoundSession extends Verdict {
  readonly directory: string;
  /** The session's own name, without the claim of a sweeper. */
  readonly name: string;
  /** Something shows that jobbus-run made the directory: nobody else may have put it under this name. */
  readonly isMarked: boolean;
  /** A FUSE is mounted on it, or on what tells of it: nobody looks at it. */
  readonly isCovered: boolean;
  readonly record: SessionRecord | undefined;
}

/** Of the sessions that are locked, this many are looked at where it is only to be known whether a sweep is worth its while. */
const SAMPLE = 16;

/**
 * None is found where others could have put a directory in its place: see ancestors.ts.
 *
 * @param bases directories that may hold `jobbus-<uid>` directories; the same one may come twice
 * @param parents `jobbus-<uid>` directories that may be among those
 */
export function findSessions(bases: readonly string[], parents: readonly string[] = []): FoundSession[] {
  const {directories, surroundings} = survey(bases, parents);
  return directories.flatMap(directory => examine(directory, surroundings) ?? []);
}

/**
 * Finds one that a sweep would deal with, for as little as can be: 256 runs that begin at once would read 65,000 records. Who is locked mostly lives;
 * of many that are, some are looked at, and among many runs, one looks at each.
 */
export function findDeadSession(bases: readonly string[]): FoundSession | undefined {
  const {directories, surroundings} = survey(bases, [], glancedParentsIn);
  const isLocked = (directory: string): boolean => surroundings.locked.has(basename(directory));
  const held = directories.filter(isLocked);
  const first = Math.floor(Math.random() * Math.max(1, held.length - SAMPLE + 1));
  for (const directory of [...directories.filter(path => !isLocked(path)), ...held.slice(first, first + SAMPLE)]) {
    const found = examine(directory, surroundings);
    if (found?.state === 'dead') {
      return found;
    }
  }

  return undefined;
}

/** The one in the directory, if that is one of ours. */
export function findSession(directory: string): FoundSession | undefined {
  const isCovered = findCovers();
  const parent = dirname(directory);
  return isCovered(parent) || !isOurs(parent) ? undefined : examine(directory, {locked: lockedNames(), here: whereabouts(), isCovered});
}

/** What sessions are judged by. */
interface Surroundings {
  readonly locked: ReadonlySet<string>;
  readonly here: Whereabouts;
  readonly isCovered: (path: string) => boolean;
}

function survey(bases: readonly string[], parents: readonly string[], parentsOf: typeof glancedParentsIn = parentsIn): {directories: readonly string[]; surroundings: Surroundings} {
  const isCovered = findCovers();
  const visible = [...[...new Set(bases)].flatMap(base => parentsOf(base, isCovered)), ...parents].filter(parent => !isCovered(parent) && isOurs(parent));
  const directories = distinct(visible).flatMap(sessionPathsIn);
  // Looked at only now: a session has its lock before it has its directory, so one whose directory was found lives if it is
  // locked; and one that has ended meanwhile is gone.
  return {directories, surroundings: {locked: lockedNames(), here: whereabouts(), isCovered}};
}

/** Whether a session of this user's may have this path, written as a run writes it. */
export function isSessionPath(path: string): boolean {
  return path.startsWith('/') && isParentName(basename(dirname(path))) && parseName(basename(path)) !== undefined;
}

function parentsIn(base: string): string[] {
  const common = commonParent(base);
  // The common name unlisted: there are bases that nobody may list.
  return [common, ...list(`${base}/`).map(name => `${dirname(common)}/${name}`).filter(path => path.startsWith(`${common}-`))];
}

/** Where the common name is ours, or nobody's, that alone; else some of the others: anybody can make as many of these as he likes, and a run holds up its signals meanwhile. */
function glancedParentsIn(base: string, isCovered: (path: string) => boolean): string[] {
  const common = commonParent(base);
  return !isCovered(common) && (ownDirectory(common) !== undefined || !existsSync(common)) ? [common] : parentsIn(base).slice(0, GLANCED_PARENTS);
}

const GLANCED_PARENTS = 64;

/** Those that all of a user's runs know, where they are ours. */
export function commonParents(bases: readonly string[]): string[] {
  const isCovered = findCovers();
  return bases.map(commonParent).filter(parent => !isCovered(parent) && isOurs(parent));
}

function isOurs(parent: string): boolean {
  return ownDirectory(parent) !== undefined && mistrust(parent) === undefined;
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
function examine(directory: string, surroundings: Surroundings): FoundSession | undefined {
  if ([directory, ...REMOVED_LAST.map(name => `${directory}/${name}`)].some(surroundings.isCovered)) {
    return judgeCovered(directory, surroundings);
  }

  const found = look(directory, surroundings);
  return found?.state === 'dead' ? look(directory, surroundings) : found;
}

/** By its name alone. */
function judgeCovered(directory: string, {locked, here}: Surroundings): FoundSession {
  const parsed = parseName(basename(directory))!;
  const evidence: Evidence = {
    parsed, isLocked: locked.has(basename(directory)), onNetwork: true, age: 0, reading: {kind: 'none'}, holding: 'mark', isMentioned: () => isMentioned(parsed.name),
  };
  const {state, reason, isUnlocked} = judge(evidence, here);
  return {directory, name: parsed.name, state, reason: state === 'live' ? reason : 'a FUSE is mounted on it', isUnlocked, isMarked: false, isCovered: true, record: undefined};
}

/** @returns undefined where there is nothing, or nothing of this user's */
function look(directory: string, {locked, here}: Surroundings): FoundSession | undefined {
  const found = ownDirectory(directory);
  if (found === undefined) {
    return undefined;
  }

  const parsed = parseName(basename(directory))!;
  const reading = readRecord(directory, parsed.name);
  const holding = reading.kind === 'record' ? 'mark' : holdingOf(directory);
  const age = Date.now() - found.ctimeMs;
  const isLocked = locked.has(basename(directory));
  // Of a directory that is gone, nobody can tell any more.
  const onNetwork = ifPossible(() => networkFileSystemOf(dirname(directory)) !== undefined) ?? true;
  const evidence = {parsed, isLocked, onNetwork, age, reading, holding, isMentioned: () => isMentioned(parsed.name)};
  return {directory, name: parsed.name, ...judge(evidence, here), isMarked: holding === 'mark', isCovered: false, record: recordOf(reading)};
}

function list(directory: string): string[] {
  return ifPossible(() => readdirSync(directory)) ?? [];
}
