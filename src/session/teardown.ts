/**
 * The one ending of a session, its beginning backwards: processes, daemon, mounts, directory.
 *
 * It never fails: what cannot be ended or removed is named, and changes no exit status.
 */

import {keepDirectory, removeLink} from './place/directory.js';
import {systemReason} from '../cli/failure.js';
import {explain, printable} from '../cli/log.js';
import type {SessionJob} from './job.js';
import {isAlive, isExiting, type Process} from '../system/processes.js';
import type {Remainder} from './place/emptying.js';
import {clearDirectory, removeDirectory, removeUnmarked} from './place/removal.js';
import {closeRegister, type Register} from './register.js';
import {within} from '../system/loop.js';
import {SIGNALS} from '../system/signals.js';
import {markedFinder, type Marks} from './members/marked.js';
import {endMembers, findMembers, signal, waitUntil, type Member, type Roots} from './members/members.js';

export interface Ending {
  /** Where the session's directory is now. */
  readonly directory: string;
  /** A link to it, under the name that the session's processes know, where that is another. */
  readonly link?: string;
  /** Below whom the session's processes are: ourselves, and the keeper. */
  readonly roots: readonly Process[];
  /** What tells those that are not below these. */
  readonly marks?: Marks;
  /** What tells those whom a keeper that was killed has left to nobody, and what has joined from outside. */
  readonly strays?: Marks;
  readonly helpers: ReadonlySet<number>;
  readonly job: SessionJob | undefined;
  /** It answers until everything else has ended. */
  readonly daemon: Process | undefined;
  readonly daemonDied?: Promise<void>;
  /** It serves until everything else has ended: a program may save a secret. */
  readonly keyring?: Process | undefined;
  /** Milliseconds between TERM and KILL. */
  readonly stopTimeout: number;
  /** Start times, by pid, of those that have been asked to end before. */
  readonly asked?: ReadonlyMap<number, string>;
  /** Leave the directory. */
  readonly keep: boolean;
  /** Called when nothing is left to do but to wait for the daemon's end. */
  readonly dismiss?: () => void;
  /** Nothing shows that jobbus-run has made the directory: it goes if it is empty, and stays otherwise. */
  readonly isUnmarked?: boolean;
}

/** @returns what there is to be said of it, a line each; nothing, when all went well */
export async function endSession(ending: Ending): Promise<readonly string[]> {
  try {
    return await endInOrder(ending);
  } catch (error) {
    // The command may have taken away whatever we need. Whose status is to be handed on still is, and a keeper sees us go.
    return [`ending the session failed: ${systemReason(error)}; run jobbus-run --sweep where /proc is mounted`];
  }
}

async function endInOrder(ending: Ending): Promise<readonly string[]> {
  const {daemon, directory, keep, stopTimeout, keyring} = ending;
  const register = closeRegister(directory);
  const find = await finder(ending, register);
  const survivors = await endMembers(() => find().filter(({pid}) => pid !== keyring?.pid), stopTimeout, ending.asked);
  // Only as a member: what a record names may be anybody.
  const servant = keyring && find().find(({pid}) => pid === keyring.pid);
  if (ending.link !== undefined) {
    removeLink(ending.link); // Before the directory, which a sweeper after us can find.
  }

  if (servant !== undefined) {
    await stopDaemon(servant);
  }

  const daemonStop = daemon === undefined ? true : stopDaemon(daemon, ending.daemonDied);
  if (!keep && ending.isUnmarked !== true) {
    await clearDirectory(directory);
  }

  // One that is exiting starts nothing any more. The kernel may take 16 ms to take down its watches of directories; meanwhile, we do the rest.
  if (daemon !== undefined && !isExiting(daemon)) {
    await daemonStop;
  }

  const late = await endLate(ending, register, survivors);
  const outcome = keep ? [`kept ${keepDirectory(directory)}`] : await removed(ending, daemonStop);
  ending.dismiss?.();
  const problems = [...((await daemonStop) ? [] : [daemon!]), ...late].map(({pid}) => `ending process ${pid} failed: it survived KILL; it may be waiting for a file system`);
  return [...problems, ...outcome];
}

/** @returns what stays */
async function removed({directory, isUnmarked}: Ending, daemonStop: boolean | Promise<boolean>): Promise<readonly string[]> {
  const remove = async (): Promise<readonly Remainder[]> => (isUnmarked === true ? removeUnmarked(directory) : removeDirectory(directory));
  let remains = await remove();
  if (remains.length > 0) {
    await daemonStop; // NFS keeps a file that somebody has open, and its directory.
    remains = await remove();
  }

  explain(`removed ${directory}`);
  return remains.map(({path, reason}) => `removing ${printable(path)} failed: ${reason}; remove it by hand`);
}

/**
 * The daemon answers to its end, and so it may start a service behind our last look: a message that wants one may have been on its way.
 *
 * @returns who is left
 */
async function endLate(ending: Ending, register: Register, survivors: readonly Process[]): Promise<readonly Process[]> {
  const find = await finder(ending, register, survivors);
  const late = await endMembers(find, ending.stopTimeout);
  // Of those that start another as they end, the last have been killed only now.
  await waitUntil(() => ![...survivors, ...late].some(isAlive), DYING_TIME);
  return [...survivors.filter(isAlive), ...(late.length === 0 ? [] : find())];
}

/** Finds all that are to be ended. @param survivors whom nothing has ended, and nothing will */
async function finder({roots, marks, strays, helpers, daemon, job}: Ending, {isUsed, joined}: Register, survivors: readonly Process[] = []): Promise<() => readonly Member[]> {
  const beyond = survivors.map(({pid}) => pid);
  const below: Roots = {processes: roots, helpers, spared: new Set([...(daemon === undefined ? [] : [daemon.pid]), ...beyond]), job};
  const telling = marks ?? (roots.every(isAlive) && !isUsed ? undefined : strays);
  if (telling === undefined) {
    return () => findMembers(below);
  }

  const findMarked = await markedFinder({...telling, joined, spared: [...telling.spared, ...helpers, ...beyond]}, daemon, job);
  return () => {
    const found = findMembers(below);
    return [...found, ...findMarked().filter(({pid}) => !found.some(member => member.pid === pid))];
  };
}

/** Milliseconds. */
const DYING_TIME = 1000;
const DAEMON_STOP_TIME = 1000;

/**
 * @param died where we are told of it: quicker than looking again and again
 * @returns false when the daemon survives KILL
 */
async function stopDaemon(daemon: Process, died?: Promise<void>): Promise<boolean> {
  signal(daemon, SIGNALS.TERM);
  signal(daemon, SIGNALS.CONT); // A stopped daemon acts on TERM only once it runs.
  const isTold = died !== undefined && (await within(DAEMON_STOP_TIME, died));
  if (isTold || (await waitUntil(() => !isAlive(daemon), DAEMON_STOP_TIME))) {
    return true;
  }

  signal(daemon, SIGNALS.KILL);
  return waitUntil(() => !isAlive(daemon), DAEMON_STOP_TIME);
}
