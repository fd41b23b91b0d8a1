/**
 * The session directory: named, made, kept and linked. removal.ts removes it.
 */

import {chmodSync, closeSync, fstatSync, lstatSync, mkdirSync, readlinkSync, renameSync, rmdirSync, symlinkSync, unlinkSync, type Stats} from 'node:fs';
import {failed, success, systemReason, type Result} from '../../cli/failure.js';
import {mark} from './marker.js';
import {ifPossible} from '../../system/if-possible.js';
import {hasFuseOn} from '../../system/mounts.js';
import {randomLetters} from '../name.js';
import {openDirectory} from '../../system/open-directory.js';

/** Several runs may make and remove the common parent at the same time. */
const PARENT_ATTEMPTS = 20;

/** The directory that a user's sessions share; where it was squatted, its name goes on with a dash. */
export function parentName(user: number): string {
  return `jobbus-${user}`;
}

/** Whether a directory of this name may be one of these. */
export function isParentName(name: string): boolean {
  const common = parentName(process.getuid!());
  return name === common || name.startsWith(`${common}-`);
}

/** The one that all of the user's runs know. */
export function commonParent(base: string): string {
  return `${base.replace(/\/+$/, '')}/${parentName(process.getuid!())}`;
}

/** Where somebody else sits on the common name, another that nobody could foresee. */
export function parentIn(base: string): string {
  const parent = commonParent(base);
  return isSquatted(base, parent) ? `${parent}-${randomLetters(6)}` : parent;
}

/** Whether something else than a directory of ours is there. Nobody needs a FUSE on it, whose server may hang, and hold up whoever looks: a sweep detaches it. */
export function isSquatted(base: string, parent: string): boolean {
  try {
    return hasFuseOn(base, parent) || ownDirectory(parent) === undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** @returns undefined when it is not there, out of reach, another user's, or no directory, a link to one included */
export function ownDirectory(path: string): Stats | undefined {
  const found = ifPossible(() => lstatSync(path));
  return found?.isDirectory() && found.uid === process.getuid!() ? found : undefined;
}

/**
 * Makes the planned directory, with a marker in it, and its parent, both 0700 and ours whatever the umask.
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

      if (parent !== 'gone' && inParent(parent, basename(path), make) === true) {
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
  ifPossible(() => rmdirSync(directory));
}

/** Makes it, where it is not there. @returns a handle; `gone` when another run, as it ended, has removed what we found */
export function openParent(parent: string): number | 'gone' | 'squatted' {
  try {
    mkdirSync(parent, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw error;
    }
  }

  let handle;
  try {
    handle = openDirectory(parent);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : 'squatted';
  }

  if (fstatSync(handle).uid === process.getuid!()) {
    return handle;
  }

  closeSync(handle);
  return 'squatted';
}

/** Uses a path in it, which is ours alone by then, and closes it. @returns undefined when another run, as it ended, removed the parent under us */
export function inParent<Value>(parent: number, name: string, use: (path: string) => Value): Value | undefined {
  const handle = `/proc/self/fd/${parent}`;
  try {
    chmodSync(handle, 0o700);
    return use(`${handle}/${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }

    throw error;
  } finally {
    closeSync(parent);
  }
}

function make(directory: string): true {
  mkdirSync(directory, 0o700);
  try {
    chmodSync(directory, 0o700);
    mark(directory);
    return true;
  } catch (error) {
    discardEmpty(directory);
    throw error;
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
  ifPossible(() => symlinkSync(name, path)); // There may be no space for one.
}

/** Whether a sweeper has left its link there. */
export function isClaimed(path: string): boolean {
  return ifPossible(() => readlinkSync(path))?.startsWith(`${basename(path)}~`) === true;
}

/** Does nothing where there is no link. */
export function removeLink(path: string): void {
  if (ifPossible(() => readlinkSync(path)) !== undefined) {
    ifPossible(() => unlinkSync(path));
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
