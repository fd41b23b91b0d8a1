/**
 * The one ending of a session, its beginning backwards: processes, daemon, mounts, directory. For the run, the keeper and
 * the sweep.
 *
 * It never fails: what cannot be ended or removed is named, and changes no exit status.
 */

import {stopDaemon} from './bus.js';
import {connectionOwners} from './connections.js';
import {clearDirectory, keepDirectory, removeDirectory, removeLink} from './directory.js';
import {explain, printable} from './log.js';
import {endProcesses, findProcesses, isAlive, newestPid, type Belonging, type JobMembership, type Member, type Process} from './processes.js';

export interface Ending {
  /** Where the session's directory is now. */
  readonly directory: string;
  /** A link to it, under the name that the session's processes know, where that is another. */
  readonly link?: string;
  /** `NAME=value` entries that tell the session's processes. */
  readonly marks: readonly string[];
  readonly since: string | undefined;
  /** Undefined: nobody knows, and no process is another job's. */
  readonly job: JobMembership | undefined;
  /** It answers until everything else has ended. */
  readonly daemon: Process | undefined;
  readonly daemonDied?: Promise<void>;
  /** Where the daemon can be asked for the owners of its connections. */
  readonly busSocket: string;
  /** Milliseconds between TERM and KILL. */
  readonly stopTimeout: number;
  /** Leave the directory. */
  readonly keep: boolean;
  /** Processes that are not ended. */
  readonly spared?: readonly number[];
}

/** @returns what there is to be said of it, a line each; nothing, when all went well */
export async function endSession(ending: Ending): Promise<readonly string[]> {
  const first = await endMembers(ending);
  if (ending.link !== undefined) {
    removeLink(ending.link); // Before the directory, which a sweeper after us can find.
  }

  const daemonStop = ending.daemon === undefined ? true : stopDaemon(ending.daemon, ending.daemonDied);
  if (!ending.keep) {
    clearDirectory(ending.directory); // Meanwhile: the kernel takes some 10 ms to take down the daemon's watches of directories.
  }

  const problems = (await daemonStop) ? [] : [survival(ending.daemon!)];
  problems.push(...(await endLateMembers(ending, first)).map(survival));
  if (ending.keep) {
    return [...problems, `kept ${keepDirectory(ending.directory)}`];
  }

  const remains = await removeDirectory(ending.directory);
  explain(`removed ${ending.directory}`);
  return [...problems, ...remains.map(({path, reason}) => `removing ${printable(path)} failed: ${reason}; remove it by hand`)];
}

interface MembersEnd {
  /** Those that KILL did not end, and those that took the place of others until the end. */
  readonly survivors: readonly Process[];
  /** As the last look began. */
  readonly newestPid: number | undefined;
}

/** @param after as of {@link Belonging} */
async function endMembers({marks, since, job, daemon, busSocket, stopTimeout, spared}: Ending, after?: number): Promise<MembersEnd> {
  const belonging: Belonging = {marks, since, job, daemon, spared, after};
  let newest = newestPid();
  const found = findProcesses(belonging);
  const known = await connected(found.hidden, busSocket, daemon);
  if (found.members.length + known.length === 0) {
    return {survivors: [], newestPid: newest};
  }

  explain(`ending ${found.members.length + known.length} processes that the command has left`);
  const find = (): readonly Member[] => {
    newest = newestPid();
    return findProcesses({...belonging, known}).members;
  };
  return {survivors: await endProcesses(find, stopTimeout), newestPid: newest};
}

/**
 * The daemon answers to its end, and so it may start a service behind our last look: a message that wants one may have been on its way.
 *
 * @returns what has survived this and the first end
 */
async function endLateMembers(ending: Ending, {survivors, newestPid: after}: MembersEnd): Promise<readonly Process[]> {
  const spared = [...(ending.spared ?? []), ...survivors.map(({pid}) => pid)];
  const late = await endMembers({...ending, spared}, after);
  return [...survivors.filter(isAlive), ...late.survivors];
}

/** @returns those of the processes that own a connection to the bus */
async function connected(pids: readonly number[], busSocket: string, daemon: Process | undefined): Promise<readonly number[]> {
  // Where the daemon is dead, or has died meanwhile, a neighbour may answer under its name, if that was an abstract one, and point at any process.
  const isOurs = (): boolean => daemon !== undefined && isAlive(daemon);
  const owners = pids.length > 0 && isOurs() ? await connectionOwners(busSocket) : undefined;
  return owners !== undefined && isOurs() ? pids.filter(pid => owners.includes(pid)) : [];
}

function survival({pid}: Process): string {
  return `ending process ${pid} failed: it survived KILL; it may be waiting for a file system`;
}
