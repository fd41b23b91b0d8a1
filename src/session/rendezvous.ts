/**
 * Where those who share a session meet: a file that tells its directory, beside the sessions, in a parent that is ours alone. Who has its lock is the only
 * one who makes a session that it tells; the kernel frees that lock, however its holder dies. Who joins what it tells needs no lock, and holds up nobody.
 */

import {closeSync, constants, fstatSync, openSync, unlinkSync} from 'node:fs';
import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {EAGAIN, systemError} from '../system/errno.js';
import {lockFile} from '../system/file-lock.js';
import {WARILY} from '../system/untrusted-file.js';
import {candidates, firstOfEachBase, type Environment} from './place/candidates.js';
import {findCovers} from './place/covers.js';
import {basename, commonParent, dirname, discardEmpty, inParent, openParent} from './place/directory.js';
import {SLOW_POLL_INTERVAL, waitUntil} from './members/members.js';
import {sessionName} from './name.js';
import {isAt, isLost, meetingPath, remove, sessionIn, tell} from './meeting-file.js';

/** Locked, until it is left: nobody else makes a session for it. */
export interface Rendezvous {
  readonly path: string;
  /** From now on others join this one. @returns why they cannot */
  publish(directory: string): string | undefined;
  /** Others have their turn; where there is no session by now, the file goes. */
  leave(): void;
}

/** Milliseconds: as long as a session may take to begin, and some more. */
const LOCK_TIME = 60_000;

/** As often as that takes: who is suspended meanwhile with all others has not waited for it. */
const LOOKS = LOCK_TIME / SLOW_POLL_INTERVAL;

/** Several may take it away, and make it anew, at the same time. */
const ATTEMPTS = 100;

/**
 * In the first base that serves: all who share look at the same ones, in the same order.
 *
 * @param unfit a session that cannot be joined
 * @returns the directory of another that is to be joined; or, where there is none, what it takes to make one
 */
export async function meet(digest: string, runtimeBase: string | undefined, environment: Environment, unfit: string | undefined): Promise<Result<string | Rendezvous>> {
  const tried: Array<{base: string; reason: string}> = [];
  for await (const {base, parent, problem, abstract} of candidates(runtimeBase, environment, sessionName('share'))) {
    if (abstract) {
      break; // The files are where they were.
    }

    const met = problem ?? (parent === commonParent(base) ? await meetAt(meetingPath(parent, digest), unfit) : 'another user sits on the common name of your sessions');
    if (typeof met !== 'string') {
      return met;
    }

    tried.push({base, reason: met});
  }

  return failed({kind: 'share', problem: `no place serves to meet in: ${firstOfEachBase(tried).map(({base, reason}) => `${base}: ${reason}`).join('; ')}; name a usable directory with --runtime-base`});
}

/** @returns what {@link meet} does; or, as text, why it cannot serve */
async function meetAt(path: string, unfit: string | undefined): Promise<Result<string | Rendezvous> | string> {
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const file = openFile(path);
      const met = typeof file === 'number' ? await askOrLock(path, file, unfit) : file;
      if (met !== undefined) {
        return met;
      }
    }

    return 'its files are removed again and again';
  } catch (error) {
    discardEmpty(dirname(path)); // There may have been room for that, and for no file in it.
    return systemReason(error);
  }
}

/** @returns undefined where who had its lock has taken it away; or why it cannot serve */
async function askOrLock(path: string, file: number, unfit: string | undefined): Promise<Result<string | Rendezvous> | string | undefined> {
  let error = 0;
  const told = (): string | undefined => {
    const session = sessionIn(file);
    return session === unfit ? undefined : session;
  };
  await waitUntil(() => told() !== undefined || (error = lockFile(file)) !== -EAGAIN, LOCK_TIME, LOOKS);
  // Once more: it may have been told just before the lock was free.
  const session = told();
  if (session !== undefined) {
    closeSync(file);
    return success(session);
  }

  if (error === 0 && isAt(path, file) && fstatSync(file).isFile()) {
    return rendezvous(path, file);
  }

  const isThere = isAt(path, file);
  closeSync(file);
  if (error === 0) {
    return isThere ? `${path} is no file` : undefined;
  }

  if (error === -EAGAIN) {
    return failed({kind: 'share', problem: `the first that shares it in ${dirname(path)} has not made it within ${LOCK_TIME / 1000} s; see whether that process is stopped`});
  }

  remove(path); // Nobody can use it.
  return `it takes no locks: ${systemReason(systemError(-error))}`;
}

/** @returns undefined where the parent was taken away meanwhile, or what stood there; or why it cannot serve */
function openFile(path: string): number | string | undefined {
  if (findCovers()(path)) {
    return `a FUSE is mounted on ${path}`;
  }

  const parent = openParent(dirname(path));
  if (typeof parent === 'string') {
    return parent === 'gone' ? undefined : `${dirname(path)} is not ours`;
  }

  return inParent(parent, basename(path), within => {
    const file = openSync(within, constants.O_RDWR | constants.O_CREAT | WARILY, 0o600);
    if (fstatSync(file).uid === process.getuid!()) {
      return file;
    }

    // Put there by another user while the parent was open to them: they may have locked it.
    closeSync(file);
    unlinkSync(within);
    return undefined;
  });
}

/** @param file is locked */
function rendezvous(path: string, file: number): Result<Rendezvous> | string {
  // Whether there is room for what is to be told.
  const problem = sessionIn(file) === undefined ? tell(file, '') : undefined;
  let isOpen = true;
  const leave = (): void => {
    if (isOpen) {
      isOpen = false;
      if (isLost(file)) {
        remove(path);
      }

      closeSync(file);
    }
  };
  if (problem !== undefined) {
    leave();
    return problem;
  }

  return success({path, publish: directory => tell(file, directory), leave});
}
