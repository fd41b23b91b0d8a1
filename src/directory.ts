/**
 * The session directory: chosen, made, and removed.
 *
 * Removal goes through open directories (`/proc/self/fd/N/name`, which is how Node can say openat), never through a
 * link and never through a mount.
 */

import {chmodSync, closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readlinkSync, renameSync, rmdirSync, symlinkSync, unlinkSync, type Stats} from 'node:fs';
import {failed, success, systemReason, type Result} from './failure.js';
import {detachMountsBelow, mountOf, mountsBelow, O_PATH} from './mounts.js';
import {randomLetters} from './name.js';
import {RECORD_FILE} from './record.js';

/** Several runs may make and remove the common parent at the same time. */
const PARENT_ATTEMPTS = 20;

/** The directory that a user's sessions share; where it was squatted, its name goes on with a dash. */
export function parentName(user: number): string {
  return `jobbus-${user}`;
}

/** Where somebody else sits on the common name, another that nobody could foresee. */
export function parentIn(base: string): string {
  const parent = `${base.replace(/\/+$/, '')}/${parentName(process.getuid!())}`;
  return lstatSync(parent, {throwIfNoEntry: false}) === undefined || isOwnDirectory(parent) ? parent : `${parent}-${randomLetters(6)}`;
}

/** @returns undefined when it is not there, out of reach, another user's, or no directory, a link to one included */
export function ownDirectory(path: string): Stats | undefined {
  try {
    const found = lstatSync(path);
    return found.isDirectory() && found.uid === process.getuid!() ? found : undefined;
  } catch {
    return undefined;
  }
}

export function isOwnDirectory(path: string): boolean {
  return ownDirectory(path) !== undefined;
}

/**
 * Makes the planned directory and its parent, both 0700 and ours whatever the umask.
 *
 * The parent is looked at and used through one handle: between a look at its name and the use of it, a neighbour could
 * put a link there. Once it is ours, nobody else can take it away from a base that serves.
 */
export function createDirectory(path: string): Result<undefined> {
  const problem = makeDirectory(path);
  if (problem === undefined) {
    return success(undefined);
  }

  discardEmpty(dirname(path));
  return failed({kind: 'directory', path, reason: problem});
}

/** @returns what failed */
function makeDirectory(path: string): string | undefined {
  try {
    for (let attempt = 0; attempt < PARENT_ATTEMPTS; attempt++) {
      const parent = openParent(dirname(path));
      if (parent === 'squatted') {
        return `${dirname(path)} is not ours`;
      }

      if (parent !== 'gone' && madeIn(parent, basename(path))) {
        return undefined;
      }
    }

    return 'its parent is removed again and again';
  } catch (error) {
    return systemReason(error);
  }
}

/** Nothing, where it is not there or, being the parent, has other sessions. */
export function discardEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // So it stays.
  }
}

/** @returns a handle; `gone` when another run, as it ended, has removed what we found */
function openParent(parent: string): number | 'gone' | 'squatted' {
  try {
    mkdirSync(parent, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }

  const handle = openPath(parent);
  if (handle === undefined) {
    return lstatSync(parent, {throwIfNoEntry: false}) === undefined ? 'gone' : 'squatted';
  }

  if (fstatSync(handle).uid === process.getuid!()) {
    return handle;
  }

  closeSync(handle);
  return 'squatted';
}

/** @returns false when another run, as it ended, removed the parent under us */
function madeIn(parent: number, name: string): boolean {
  const handle = `/proc/self/fd/${parent}`;
  try {
    chmodSync(handle, 0o700);
    mkdirSync(`${handle}/${name}`, 0o700);
    chmodSync(`${handle}/${name}`, 0o700);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return false;
    }

    throw error;
  } finally {
    closeSync(parent);
  }
}

/** Leaves the directory under a name that no sweep takes for a session's. @returns its path */
export function keepDirectory(path: string): string {
  const kept = `${path}.kept`;
  try {
    renameSync(path, kept);
    return kept;
  } catch {
    return path; // The command has removed it, say.
  }
}

/** A directory that has another name by now is still found under the one that the session's processes know: they may be saving. */
export function leaveLink(path: string, name: string): void {
  removeLink(path);
  try {
    symlinkSync(name, path);
  } catch {
    // No space for one, say.
  }
}

/** Whether a sweeper has left its link there. */
export function isClaimed(path: string): boolean {
  try {
    return readlinkSync(path).startsWith(`${basename(path)}~`);
  } catch {
    return false;
  }
}

/** Does nothing where there is no link. */
export function removeLink(path: string): void {
  try {
    readlinkSync(path);
    unlinkSync(path);
  } catch {
    // A directory stays.
  }
}

/**
 * Removes what a session's directory holds, but for the record: who goes on after us, should we be killed, needs it. Where something is
 * mounted, nothing: what is mounted goes first. Says nothing of what could not be removed: {@link removeDirectory} does.
 */
export function clearDirectory(path: string): void {
  const parent = openPath(dirname(path));
  const directory = parent === undefined ? undefined : openPath(`/proc/self/fd/${parent}/${basename(path)}`);
  if (directory !== undefined) {
    attempt(
      () => {
        if (mountsBelow(readlinkSync(`/proc/self/fd/${directory}`)).length === 0) {
          emptyDirectory(directory, mountOf(directory), path, [], name => !isRecord(name));
        }
      },
      path,
      [],
    );
    closeSync(directory);
  }

  if (parent !== undefined) {
    closeSync(parent);
  }
}

export interface Remainder {
  readonly path: string;
  readonly reason: string;
}

/**
 * Removes a session's directory and, where it was the last, the parent.
 *
 * @returns what could not be removed; nothing, when all is gone
 */
export async function removeDirectory(path: string): Promise<readonly Remainder[]> {
  let remains = await removeOnce(path);
  for (let attempt = 1; remains.length > 0 && attempt < REMOVAL_ATTEMPTS; attempt++) {
    await new Promise(resolve => setTimeout(resolve, REMOVAL_INTERVAL));
    remains = await removeOnce(path);
  }

  discardEmpty(dirname(path));
  return remains;
}

/** A service that is ending may still write, for a moment. */
const REMOVAL_ATTEMPTS = 5;
const REMOVAL_INTERVAL = 20;

async function removeOnce(path: string): Promise<readonly Remainder[]> {
  const remains: Remainder[] = [];
  const parent = openPath(dirname(path));
  if (parent === undefined) {
    return remains;
  }

  try {
    const real = readlinkSync(`/proc/self/fd/${parent}`);
    if (mountsBelow(`${real}/${basename(path)}`).length > 0) {
      await detachMountsBelow(`${real}/${basename(path)}`);
    }

    removeEntry(`/proc/self/fd/${parent}`, Buffer.from(basename(path)), mountOf(parent), path, remains);
  } finally {
    closeSync(parent);
  }

  return remains;
}

/** @returns undefined when it is no directory, a link to one included */
function openPath(path: string | Buffer): number | undefined {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
}

function emptyDirectory(directory: number, mount: string | undefined, path: string, remains: Remainder[], isDue: (name: Buffer) => boolean = () => true): void {
  const handle = `/proc/self/fd/${directory}`;
  attempt(() => chmodSync(handle, 0o700), path, remains);
  attempt(
    () => {
      // Names are bytes: one that is not UTF-8 would not survive as a string.
      for (const name of recordLast(readdirSync(handle, 'buffer').filter(isDue))) {
        removeEntry(handle, name, mount, `${path}/${name.toString()}`, remains);
      }
    },
    path,
    remains,
  );
}

/** Who goes on after us, should we be killed, learns from the record which processes are another job's. */
function recordLast(names: readonly Buffer[]): Buffer[] {
  return [...names.filter(name => !isRecord(name)), ...names.filter(isRecord)];
}

function isRecord(name: Buffer): boolean {
  return name.equals(Buffer.from(RECORD_FILE));
}

function removeEntry(handle: string, name: Buffer, mount: string | undefined, path: string, remains: Remainder[]): void {
  const entry = Buffer.concat([Buffer.from(`${handle}/`), name]);
  const subdirectory = openPath(entry);
  if (subdirectory === undefined) {
    attempt(() => unlinkSync(entry), path, remains);
    return;
  }

  try {
    if (mountOf(subdirectory) !== mount) {
      remains.push({path, reason: 'a file system is mounted there'});
      return;
    }

    emptyDirectory(subdirectory, mount, path, remains);
  } finally {
    closeSync(subdirectory);
  }

  if (!remains.some(remainder => remainder.path.startsWith(`${path}/`))) {
    attempt(() => rmdirSync(entry), path, remains);
  }
}

/** Something that is gone already is what we want. */
function attempt(action: () => void, path: string, remains: Remainder[]): void {
  try {
    action();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      remains.push({path, reason: systemReason(error)});
    }
  }
}

// node:path would be one more module to load at every launch.
/** Of a path below the root; the empty string then stands for the root itself, as it does before a slash. */
export function dirname(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
