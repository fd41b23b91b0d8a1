/** What keeps runs from working for reasons that their own failure hardly tells: each a line of the doctor's, where it is so. */

import {readdirSync} from 'node:fs';
import {advice} from '../cli/failure.js';
import {askedFor, type DoctorOptions} from '../cli/options.js';
import {LOADERS, withheldFromDaemon} from '../session/begin.js';
import {changedEntries} from '../session/frame.js';
import type {Incoming} from '../session/incoming.js';
import type {Caller} from '../system/caller.js';
import {absolutePath, findExecutable} from '../system/executable.js';
import {readText} from '../system/processes.js';
import {lastLine, runInterruptibly} from './trial.js';

/** What the doctor says of one topic; with what to do, where something is to be done. */
export type Line = {readonly topic: string; readonly text: string} & ({readonly mark: 'good' | 'note'} | {readonly mark: 'bad'; readonly advice: string});

interface Patient {
  readonly options: DoctorOptions;
  readonly caller: Caller;
  readonly incoming: Incoming;
  /** The dbus-daemon, where there is one. */
  readonly daemon: string | undefined;
}

export async function* hindrances(patient: Patient): AsyncGenerator<Line, void, undefined> {
  for (const find of [processesLine, librariesLine, userLine]) {
    const line = await find(patient);
    if (line !== undefined) {
      yield line;
    }
  }
}

/** What a run starts at once, and some to spare. */
const MOST_PROCESSES = 10;

/** The kernel does not limit root. */
function processesLine(): Line | undefined {
  const limit = /^Max processes +(\d+)/m.exec(readText('/proc/self/limits') ?? '')?.[1];
  const user = process.getuid!();
  const count = limit === undefined || user === 0 ? 0 : countThreads(user);
  return limit !== undefined && count > 0 && Number(limit) - count < MOST_PROCESSES
    ? {mark: 'bad', topic: 'processes', text: `this user has ${count}, threads counted, and may have ${limit}; a run needs some ${MOST_PROCESSES}`, advice: 'raise the limit of processes (ulimit -u), or end some'}
    : undefined;
}

function countThreads(user: number): number {
  const own = new RegExp(`^Uid:\\s+${user}\\s`, 'm');
  return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(pid => readText(`/proc/${pid}/status`) ?? '').filter(status => own.test(status))
    .reduce((sum, status) => sum + Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0), 0);
}

/** A program that does not run with the caller's libraries, and does without. */
async function librariesLine({options, caller, incoming, daemon}: Patient): Promise<Line | undefined> {
  const named = LOADERS.filter(name => caller.environment[name]);
  const without = changedEntries(caller, Object.fromEntries(LOADERS.map(name => [name, null])));
  const programs = [{path: '/bin/sh', words: ['-c', ':']}, ...(options.dbusDaemon === undefined || daemon === undefined ? [] : [{path: daemon, words: ['--version']}])];
  for (const program of named.length === 0 ? [] : programs) {
    const ran = await runInterruptibly({...program, environment: changedEntries(caller, {})}, incoming);
    const problem = ran.ok && ran.value.status !== 0 ? lastLine(ran.value.errors) : undefined;
    if (problem === undefined) {
      continue;
    }

    const other = await runInterruptibly({...program, environment: without}, incoming);
    if (other.ok && other.value.status === 0) {
      return {mark: 'bad', topic: 'libraries', text: `${program.path} does not run with ${named.join(', ')}: ${problem}`, advice: `unset ${named.join(', ')}, or see what is there`};
    }
  }

  return undefined;
}

/** Status of getent(1). */
const NOT_FOUND = 2;

/** A dbus-daemon does not start for a user whom it cannot look up. */
async function userLine({options, caller, incoming}: Patient): Promise<Line | undefined> {
  const getent = findExecutable('getent', absolutePath(caller.environment.PATH));
  if (!getent.ok) {
    return undefined;
  }

  const user = process.getuid!();
  const ran = await runInterruptibly({path: getent.value, words: ['passwd', String(user)], environment: changedEntries(caller, withheldFromDaemon(options))}, incoming);
  const toDo = 'have this node know the user (getent passwd), in a container by an entry in its /etc/passwd';
  if (ran.ok && ran.value.status === undefined) {
    return {mark: 'bad', topic: 'user', text: `user ${user} cannot be looked up: nobody answers`, advice: toDo};
  }

  return ran.ok && ran.value.status === NOT_FOUND ? {mark: 'bad', topic: 'user', text: `user ${user} has no entry in passwd, which a dbus-daemon needs`, advice: toDo} : undefined;
}

/** What to do where the daemon that was chosen does not serve. */
export function daemonAdvice(options: DoctorOptions): string {
  const asked = askedFor('dbusDaemon', options);
  return asked === undefined ? 'install dbus-daemon, or name one with --dbus-daemon' : advice(asked, 'another', '--dbus-daemon');
}
