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
import {endProcesses, findProcesses, isAlive, type Belonging, type JobMembership, type Process} from './processes.js';

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
  const problems = await endMembers(ending);
  if (ending.link !== undefined) {
    removeLink(ending.link); // Before the directory, which a sweeper after us can find.
  }

  const daemonStop = ending.daemon === undefined ? true : stopDaemon(ending.daemon, ending.daemonDied);
  if (!ending.keep) {
    clearDirectory(ending.directory); // Meanwhile: the kernel takes some 10 ms to take down the daemon's watches of directories.
  }

  if (!(await daemonStop)) {
    problems.push(survival(ending.daemon!.pid));
  }

  if (ending.keep) {
    return [...problems, `kept ${keepDirectory(ending.directory)}`];
  }

  const remains = await removeDirectory(ending.directory);
  explain(`removed ${ending.directory}`);
  return [...problems, ...remains.map(({path, reason}) => `removing ${printable(path)} failed: ${reason}; remove it by hand`)];
}

async function endMembers({marks, since, job, daemon, busSocket, stopTimeout, spared}: Ending): Promise<string[]> {
  const belonging: Belonging = {marks, since, job, daemon, spared};
  const found = findProcesses(belonging);
  const known = await connected(found.hidden, busSocket, daemon);
  if (found.members.length + known.length === 0) {
    return [];
  }

  explain(`ending ${found.members.length + known.length} processes that the command has left`);
  const survivors = await endProcesses(() => findProcesses({...belonging, known}).members, stopTimeout);
  return survivors.map(({pid}) => survival(pid));
}

/** @returns those of the processes that own a connection to the bus */
async function connected(pids: readonly number[], busSocket: string, daemon: Process | undefined): Promise<readonly number[]> {
  const owners = pids.length === 0 ? [] : await connectionOwners(busSocket);
  // Where the daemon is dead, a neighbour may answer under its name, if that was an abstract one, and point at any process.
  return owners !== undefined && daemon !== undefined && isAlive(daemon) ? pids.filter(pid => owners.includes(pid)) : [];
}

function survival(pid: number): string {
  return `ending process ${pid} failed: it survived KILL; it may be waiting for a file system`;
}
