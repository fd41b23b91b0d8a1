/** What the cases have in common: to do the same with and without jobbus-run, and to compare. */

import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {eventually} from '../helpers/processes.js';
import type {Cluster} from './cluster.js';
import type {Plugin} from './configuration.js';
import type {Ended, Task, Trial} from './trial.js';

export interface SlurmCase {
  readonly name: string;
  /** Where the product is known not to do it yet. */
  readonly failing?: readonly Plugin[];
  /** @returns what was counted, for the table */
  readonly run: (t: ExecutionContext, site: Site) => Promise<string>;
}

/** Two nodes that nobody else uses. */
export interface Site {
  readonly plugin: Plugin;
  readonly cluster: Cluster;
  /** With jobbus-run, on the first node. */
  readonly wrapped: Trial;
  /** Without, on the second. */
  readonly bare: Trial;
  /** With dbus-run-session, on the second. */
  readonly incumbent: Trial;
  /** With jobbus-run, on both. */
  readonly wide: Trial;
  /** With --share, on both; each has a base of its own: they are one machine. */
  readonly shared: Trial;
  /** The same nodes, for other jobs beside those of this one. */
  readonly part: (name: string) => Site;
}

/** The exit status of a command that has saved. */
export const SAVED = 7;

/** Seconds; longer than any test waits. */
export const LONG = 600;

export interface Procedure {
  readonly tasks: number;
  readonly start: (trial: Trial) => Promise<Partial<Ended>>;
  readonly act: (cluster: Cluster, trial: Trial, task: Task) => Promise<unknown>;
  /**
   * Slurm sends TERM twice, 10 ms apart. Of two that wait at the same time the kernel makes one, so on a busy machine there
   * may be one: measured, in 4 of 40 such pairs without jobbus-run, in 5 of 40 with it.
   */
  readonly termTwice?: boolean;
  /** What Slurm itself leaves to chance is not compared. */
  readonly compared?: (signals: string) => string;
  /** Slurm kills everything at once: nobody saves, and the next run on the node clears up. */
  readonly killedAtOnce?: boolean;
}

export const withSrun = (words: readonly string[]) => async (trial: Trial): Promise<Ended> => trial.srun([...words, ...trial.command(LONG, SAVED)]);

export const withSbatch = (options: readonly string[]) => async (trial: Trial): Promise<Partial<Ended>> => {
  await trial.submit(`#!/bin/sh\nexec ${trial.command(LONG, SAVED).join(' ')}\n`, options);
  await trial.record();
  return {};
};

export async function cancel(cluster: Cluster, _trial: Trial, {job}: Task): Promise<unknown> {
  return cluster.ask('scancel', job);
}

export async function signalAndCancel(cluster: Cluster, trial: Trial, {job}: Task): Promise<unknown> {
  await cluster.ask('scancel', '-s', 'USR1', job);
  await eventually('USR1 to come', () => trial.tasks().every(({signals}) => signals.includes('SIGUSR1')));
  return cluster.ask('scancel', job);
}

/** A time limit has minutes, an end any time. */
export async function endTime(cluster: Cluster, _trial: Trial, {job}: Task): Promise<unknown> {
  return cluster.ask('scontrol', 'update', `JobId=${job}`, 'EndTime=now+1');
}

/** Does the same with and without jobbus-run, and expects the same signals, as often, and the same ends. */
export async function sameAsBare(t: ExecutionContext, {cluster, wrapped, bare}: Site, procedure: Procedure): Promise<string> {
  const {tasks, start, act, termTwice = false, killedAtOnce = false} = procedure;
  const observe = async (trial: Trial): Promise<{readonly signals: string; readonly end: string}> => {
    const run = start(trial);
    await act(cluster, trial, await firstReady(trial, tasks, run));
    const {status = 'none'} = await run;
    return {signals: countSignals(trial), end: `status ${status}, record ${await trial.record()}`};
  };
  const [ours, theirs] = await Promise.all([observe(wrapped), observe(bare)]);
  const {compared = (signals: string) => (termTwice ? signals.replace('TERM 2', 'TERM 1') : signals)} = procedure;
  t.is(compared(ours.signals), compared(theirs.signals));
  t.is(ours.end, theirs.end);
  if (killedAtOnce) {
    await assertClearedUp(t, wrapped);
  } else {
    t.regex(theirs.signals, /TERM/);
    await assertSaved(t, wrapped, tasks);
  }

  return ours.signals === theirs.signals ? ours.signals : `${ours.signals}; bare: ${theirs.signals}`;
}

/** After the next run on the node, nothing is left. */
export async function assertClearedUp(t: ExecutionContext, trial: Trial): Promise<void> {
  t.is((await trial.srun(trial.wrap('sleep', '1'))).status, 0);
  await assertNothingLeft(t, trial);
}

/** For `compared`: the command has a moment between TERM and KILL, and may note what it gets or not. */
export function atMostOnce(signals: string): string {
  return signals.replace(/\b(CONT|TERM) 1\b|none/g, '').replace(/[, ]+/g, '');
}

/** @returns one of the tasks, when all are ready */
export async function firstReady(trial: Trial, count: number, run: Promise<Partial<Ended>>): Promise<Task> {
  const tooEarly = run.then(({status, stderr}) => {
    throw new Error(`The job ended before its tasks were ready, with status ${status}: ${stderr}`);
  });
  const [task] = await Promise.race([trial.ready(count), tooEarly]);
  return task!;
}

/** All of the tasks' together, and sorted: Slurm gives TERM and CONT in any order. */
export function countSignals(trial: Trial): string {
  const perTask = trial.tasks().map(({signals}) => {
    const counts = [...new Set(signals)].sort().map(name => `${name.replace('SIG', '')} ${signals.filter(other => other === name).length}`);
    return counts.join(', ') || 'none';
  });
  return [...new Set(perTask)].sort().join(' or ');
}

/** Every task had a bus of its own until it ended, and nothing is left. */
export async function assertSaved(t: ExecutionContext, trial: Trial, count: number): Promise<string> {
  await trial.record();
  const buses = trial.tasks().map(task => task.buses);
  for (const [first = '', ...others] of buses) {
    t.regex(first, /^[\da-f]{32}$/);
    t.deepEqual(others, [first], 'the bus answers to the end');
  }

  t.is(new Set(buses.map(([first]) => first)).size, count, 'as many buses as tasks');
  await assertNothingLeft(t, trial);
  return `${count} ${count === 1 ? 'bus' : 'buses'}, signals: ${countSignals(trial)}`;
}

/** An MPI of four tasks, by PMI-2. */
export async function worldOfFour(t: ExecutionContext, cluster: Cluster, trial: Trial): Promise<string> {
  const {status, stdout, stderr} = await trial.srun(['--mpi=pmi2', '-n', '4', ...trial.wrap(join(cluster.directory, 'fixtures/mpi-world'))]);
  t.is(status, 0, stderr);
  t.deepEqual(stdout.split('\n').sort(), [0, 1, 2, 3].map(rank => `rank ${rank} of 4, sum 6`));
  await assertNothingLeft(t, trial);
  return 'one world of 4';
}

export async function assertNothingLeft(t: ExecutionContext, trial: Trial): Promise<void> {
  await eventually('the last process to go', () => trial.leftovers().length === 0, 5000).catch(() => undefined);
  t.deepEqual(trial.leftovers(), []);
}
