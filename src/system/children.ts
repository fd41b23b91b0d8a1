/**
 * Waiting for children: our own, and those that we inherit as their sub-reaper or as PID 1.
 *
 * CHLD says that there is something to learn, and not how much: two that come at the same time are one.
 */

import {call} from './libc.js';
import type {Stop} from './loop.js';

/** WNOHANG | WUNTRACED | WCONTINUED of waitpid(2). */
const OPTIONS = 1 | 2 | 8;

export type End = {readonly kind: 'exited'; readonly status: number} | {readonly kind: 'killed'; readonly signal: number};

export type Change = End | {readonly kind: 'stopped' | 'continued'};

const listeners = new Map<number, (change: Change) => void>();
const watchers = new Set<() => void>();

/** Calls with each change of this child, until it has ended. To be said before the next wait, lest it be reaped unheard. */
export function onChange(pid: number, listener: (change: Change) => void): void {
  listeners.set(pid, listener);
}

/** Calls when this child has ended. To be said before the next wait, too. */
export function onEnd(pid: number, listener: (end: End) => void): void {
  onChange(pid, change => isEnd(change) && listener(change));
}

/** Calls whenever something has become of a child, whichever. */
export function onAnyChange(watcher: () => void): Stop {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** Tells all that has become of children since the last call. Who has ended is reaped: the pid is nobody's from now on. */
export function reap(): void {
  const status = new Int32Array(1);
  for (let pid = call('waitpid', -1, status, OPTIONS); pid > 0; pid = call('waitpid', -1, status, OPTIONS)) {
    const change = parseStatus(status[0]!);
    const listener = listeners.get(pid);
    if (isEnd(change)) {
      listeners.delete(pid);
    }

    listener?.(change);
  }

  watchers.forEach(watcher => watcher());
}

function isEnd(change: Change): change is End {
  return change.kind === 'exited' || change.kind === 'killed';
}

/** The macros of wait(2). */
function parseStatus(status: number): Change {
  const low = status & 0x7f;
  if (status === 0xffff) {
    return {kind: 'continued'};
  }

  if (low === 0x7f) {
    return {kind: 'stopped'};
  }

  return low === 0 ? {kind: 'exited', status: (status >> 8) & 0xff} : {kind: 'killed', signal: low};
}

const PR_SET_CHILD_SUBREAPER = 36;

/** Whether who loses its parent below us becomes our child. */
export function setSubreaper(isOne: boolean): void {
  call('prctl', PR_SET_CHILD_SUBREAPER, isOne ? 1 : 0, 0, 0, 0);
}

const PR_SET_DUMPABLE = 4;

/** Of our own: it would be the engine's, of gigabytes. */
export function withoutCore(): void {
  call('prctl', PR_SET_DUMPABLE, 0, 0, 0, 0);
}
