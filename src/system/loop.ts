/**
 * Waiting: descriptors and deadlines, in a poll(2) of our own.
 *
 * The engine's loop must never sleep for us: while it does, it lifts the mask of signals, and one that we read as data takes its
 * default action (measured: an idle program with all signals blocked dies of TERM). So this one sleeps, and runs what promises have
 * made ready in between, that the rest may be written with `async`. Nothing on the way of a run may wait for the engine's timers or streams.
 */

import {drainMicrotasks} from 'bun:jsc';
import {now} from './clock.js';
import {call} from './libc.js';

/** poll.h */
const POLLIN = 1;

/** Undoes what returned it. */
export type Stop = () => void;

interface Watch {
  readonly descriptor: number;
  readonly onReady: () => void;
}

interface Deadline {
  readonly time: number;
  readonly action: () => void;
}

const watches = new Set<Watch>();
const deadlines = new Set<Deadline>();
const ready: Array<() => void> = [];

/** Calls again and again while the descriptor can be read, or has come to its end. */
export function onReadable(descriptor: number, onReady: () => void): Stop {
  const watch = {descriptor, onReady};
  watches.add(watch);
  return () => void watches.delete(watch);
}

/** Calls once, so many milliseconds from now. */
export function after(time: number, action: () => void): Stop {
  const deadline = {time: now() + time, action};
  deadlines.add(deadline);
  return () => void deadlines.delete(deadline);
}

/** Calls in the next round, once all that is ready now has been dealt with. */
export function next(action: () => void): void {
  ready.push(action);
}

export async function sleep(time: number): Promise<void> {
  return new Promise(resolve => void after(time, resolve));
}

/** @returns whether it came in the time, in milliseconds */
export async function within(time: number, awaited: Promise<unknown>): Promise<boolean> {
  return new Promise(resolve => {
    const stop = after(time, () => resolve(false));
    void awaited.then(() => {
      stop();
      resolve(true);
    });
  });
}

/** Waits for what is awaited, and serves all that is waited for meanwhile. @throws what the promise is rejected with */
export function run<Value>(awaited: Promise<Value>): Value {
  let outcome: (() => Value) | undefined;
  void awaited.then(
    value => (outcome = () => value),
    (error: unknown) => (outcome = () => {
      throw error;
    }),
  );
  for (;;) {
    drainMicrotasks();
    if (outcome !== undefined) {
      return outcome();
    }

    round();
  }
}

/** What has come in one sleep is dealt with in the order of the watches, and behind each its promises. */
function round(): void {
  const due = ready.splice(0);
  for (const action of due) {
    action();
    drainMicrotasks();
  }

  const polled = [...watches];
  const table = new Int32Array(2 * polled.length);
  polled.forEach(({descriptor}, index) => table.set([descriptor, POLLIN], 2 * index));
  // What was due may have brought what the whole loop is run for.
  call('poll', table, polled.length, due.length > 0 ? 0 : timeout());
  polled.forEach((entry, index) => {
    // The upper half is what came; an earlier action may have ended this watch.
    if (table[2 * index + 1]! >>> 16 !== 0 && watches.has(entry)) {
      entry.onReady();
      drainMicrotasks();
    }
  });
  const time = now();
  for (const deadline of [...deadlines].filter(each => each.time <= time).sort((one, other) => one.time - other.time)) {
    if (deadlines.delete(deadline)) {
      deadline.action();
      drainMicrotasks();
    }
  }
}

/** An int of C; who wakes up early sleeps again. */
const LONGEST_POLL = 0x7fff_ffff;

/** For poll(2): milliseconds, rounded up lest we come back too early and turn in circles; -1 for ever. */
function timeout(): number {
  if (ready.length > 0) {
    return 0;
  }

  let earliest = Infinity;
  for (const {time} of deadlines) {
    earliest = Math.min(earliest, time);
  }

  return earliest === Infinity ? -1 : Math.min(Math.max(0, Math.ceil(earliest - now())), LONGEST_POLL);
}
