/** What the tests see of processes: /proc, without the product's own code. */

import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {constants} from 'node:os';
import {callersEntries} from './ground.js';

export interface ProcessView {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly state: string;
  readonly words: readonly string[];
}

/** @returns undefined when there is no such process */
export function viewProcess(pid: number): ProcessView | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    return {pid, state, parent: Number(parent), group: Number(group), session: Number(session), words};
  } catch {
    return undefined;
  }
}

/** Zombies do not count: who reaps them is not the product's business. One of whose threads some are left holds what it held. */
export function isRunning(pid: number): boolean {
  const state = viewProcess(pid)?.state;
  return state !== undefined && ((state !== 'Z' && state !== 'X') || threadsOf(pid).length > 1);
}

/** The entries in /proc, that of the main thread among them, which may have ended before the others. */
function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(name => `/proc/${pid}/task/${name}`);
  } catch {
    return [];
  }
}

/** Whether the signal has been sent to the process and not yet been taken. */
export function isPending(pid: number, signal: NodeJS.Signals): boolean {
  return hasBit(pid, 'ShdPnd', signal);
}

/** Whether the process has the signal blocked, as one that reads it as data. */
export function isBlocked(pid: number, signal: NodeJS.Signals): boolean {
  return hasBit(pid, 'SigBlk', signal);
}

/** @param key of a mask in proc(5)'s status */
function hasBit(pid: number, key: string, signal: NodeJS.Signals): boolean {
  const mask = new RegExp(`^${key}:\\s*([0-9a-f]+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
}

export function allPids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

export function childrenOf(parent: number): ProcessView[] {
  return allPids().map(viewProcess).filter(view => view?.parent === parent && view.state !== 'Z') as ProcessView[];
}

/** Running processes whose environment has the entry, `NAME=value`. */
export function processesWith(entry: string): ProcessView[] {
  return allPids().filter(pid => environmentOf(pid).includes(entry) && isRunning(pid)).map(viewProcess).filter(view => view !== undefined);
}

/** As it was handed down to the process. */
export function environmentOf(pid: number): string[] {
  const entries = environmentAt(`/proc/${pid}`);
  return entries.length > 1 || viewProcess(pid)?.state !== 'Z' ? entries : (threadsOf(pid).map(environmentAt).find(({length}) => length > 1) ?? []);
}

/** @param entry a process's or a thread's */
function environmentAt(entry: string): string[] {
  try {
    let environment = '';
    // One that was opened before an execve and is read behind it is empty, too.
    for (let calmLooks = 0; environment === '' && calmLooks < 3; calmLooks += isExecuting(entry) ? 0 : 1) {
      environment = readFileSync(`${entry}/environ`, 'utf8');
    }

    return callersEntries(environment.split('\0'));
  } catch {
    return [];
  }
}

/** In the midst of execve, a process has no environment. It is no kernel thread and no zombie, and its environment has no end. */
function isExecuting(entry: string): boolean {
  const stat = readFileSync(`${entry}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] !== 'Z' && fields[0] !== 'X' && (Number(fields[6]) & 0x20_0000) === 0 && fields[48] === '0';
}

/** Descriptor numbers and what they point to; none of a process that has ended. */
export function descriptorsOf(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of descriptorNames(pid)) {
    try {
      found.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // Closed meanwhile.
    }
  }

  return found;
}

function descriptorNames(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    if (isRunning(pid)) {
      throw error;
    }

    return [];
  }
}

/** Milliseconds. What passes beyond between two looks, the machine or the test itself stood still. */
const LONGEST_LOOK = 1000;

type Probed<Value> = Value | undefined | false;

/** Polls until the value is neither undefined nor false; fails with what was waited for, once that has had the time in which to come. */
export async function eventually<Value>(what: string | (() => string), probe: () => Probed<Value> | Promise<Probed<Value>>, time = 60_000, interval = 5): Promise<Value> {
  let last = performance.now();
  let waited = 0;
  for (let looks = 1; ; looks++) {
    const value = await probe();
    if (value !== undefined && value !== false) {
      return value;
    }

    if (waited > time) {
      throw new Error(`Waited ${time} ms (${looks} looks) in vain for ${typeof what === 'string' ? what : what()}`);
    }

    await new Promise(resolve => setTimeout(resolve, interval));
    waited += Math.min(performance.now() - last, LONGEST_LOOK);
    last = performance.now();
  }
}
