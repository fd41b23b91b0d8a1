/**
 * The processes of a session whose owner is no ancestor of theirs that we could go by: those of a shell, which has started others before,
 * and of a jobbus-run that was killed. They are told by their environment, with their descendants; where they hide it, by their
 * connections to the bus.
 */

import {findProcesses} from './belonging.js';
import type {SessionJob} from '../job.js';
import {hidesProcesses} from '../../system/mounts.js';
import {isAlive, isUnseen, readText, type Process} from '../../system/processes.js';
import {connectionOwners} from '../bus/connections.js';
import type {Member} from './members.js';

export interface Marks {
  /** `NAME=value` entries of an environment, one of which is enough. */
  readonly entries: readonly string[];
  /** Where the daemon can be asked for the owners of its connections. */
  readonly busSocket: string;
  /** These are left alone, whatever they bear: who waits for us to end the session. */
  readonly spared: readonly number[];
  /** These belong, whatever they bear. */
  readonly joined?: readonly Process[];
}

/** @returns what finds them, again and again */
export async function markedFinder({entries, busSocket, spared, joined = []}: Marks, daemon: Process | undefined, job: SessionJob | undefined): Promise<() => readonly Member[]> {
  const belonging = {marks: entries, daemon, spared, job};
  const {hidden} = findProcesses(belonging);
  const known = await connected(hidden, busSocket, daemon);
  const seen = new Map<number, Member>();
  return () => {
    // What bears no mark is found by its parent, which may end before it.
    const present = joined.filter(isAlive).map(({pid}) => pid);
    for (const member of findProcesses({...belonging, known: [...known, ...present]}).members) {
      seen.set(member.pid, {...member, name: readText(`/proc/${member.pid}/comm`)?.trim() ?? '?'});
    }

    return [...seen.values()].filter(isAlive);
  };
}

/** @returns those of the processes that own a connection to the bus, and all owners that /proc does not show */
async function connected(hidden: readonly number[], busSocket: string, daemon: Process | undefined): Promise<readonly number[]> {
  // Where the daemon is dead, or has died meanwhile, a neighbour may answer under its name, if that was an abstract one, and point at any process.
  const isOurs = (): boolean => daemon !== undefined && isAlive(daemon);
  const owners = (hidden.length > 0 || hidesProcesses()) && isOurs() ? await connectionOwners(busSocket, undefined, daemon?.pid) : undefined;
  return owners !== undefined && isOurs() ? owners.filter(pid => hidden.includes(pid) || isUnseen(pid)) : [];
}
