/** `--share`: the tasks of a step on a node have one session, whichever way the step ends. */

import type {ExecutionContext} from 'ava';
import {eventually, isRunning, viewProcess} from '../helpers/processes.js';
import {assertClearedUp, assertNothingLeft, assertSaved, cancel, countSignals, endTime, firstReady, LONG, SAVED, worldOfFour, type Procedure, type Site, type SlurmCase} from './checks.js';
import type {Plugin} from './configuration.js';
import type {Ended, Task, Trial} from './trial.js';

const NODES = 2;
const TASKS = 16;
const WIDE = ['-n', String(TASKS)];

export const shareCases: readonly SlurmCase[] = [
  {
    name: '--share, 16 tasks on 2 nodes: each ends with a status of its own',
    run: eachWithItsStatus,
  },
  {
    name: '--share, 16 tasks on 2 nodes: scancel',
    run: async (t, site) => savedTogether(t, site, [], cancel),
  },
  {
    name: '--share, 16 tasks on 2 nodes: time limit',
    run: async (t, site) => savedTogether(t, site, ['-t', '5'], endTime),
  },
  {
    name: '--share, srun -K: a task fails that is not the first',
    run: async (t, site) => failsForAll(t, site, task => !isFirst(task)),
  },
  {
    name: '--share, srun -K: the first fails',
    run: async (t, site) => failsForAll(t, site, isFirst),
  },
  {
    name: '--share, srun --mpi=pmi2 -N 2 -n 4',
    run: async (t, {cluster, shared}) => worldOfFour(t, cluster, shared),
  },
];

/** In the order that leaves the session's end to its first: what Slurm kills at once is another case's. */
async function eachWithItsStatus(t: ExecutionContext, {shared}: Site): Promise<string> {
  const command = shared.command(LONG, SAVED).slice(shared.wrap().length, -1);
  const run = shared.srun([...WIDE, ...shared.wrap('sh', '-c', `exec ${command.join(' ')} $((SLURM_PROCID + ${LOWEST}))`)]);
  await firstReady(shared, TASKS, run);
  const tasks = shared.tasks();
  const firsts = tasks.filter(isFirst);
  const others = tasks.filter(task => !isFirst(task));
  t.is(firsts.length, NODES);
  t.true(others.every(({pid}) => wordsOf(pid).includes('slurm-job')), 'what Slurm has started is the command');
  others.forEach(end);
  await eventually('the others to end', () => others.every(({pid}) => !isRunning(pid)));
  firsts.forEach(end);
  t.deepEqual(statusesOf(await run), Array.from({length: TASKS}, (_, rank) => `${rank}: ${rank + LOWEST}`));
  return assertSaved(t, shared, NODES);
}

/** Of the task with rank 0. */
const LOWEST = 20;

function statusesOf({stderr}: Ended): string[] {
  return [...stderr.matchAll(/task (\d+): Exited with exit code (\d+)/g)].map(([, rank, status]) => `${rank}: ${status}`).sort((one, other) => Number.parseInt(one) - Number.parseInt(other));
}

/** Each saves and fails; where Slurm kills at once what is left with the last task, the keeper is of it. */
async function savedTogether(t: ExecutionContext, {plugin, cluster, shared}: Site, options: readonly string[], act: Procedure['act']): Promise<string> {
  const run = shared.srun([...WIDE, ...options, ...shared.command(LONG, SAVED)]);
  await act(cluster, shared, await firstReady(shared, TASKS, run));
  t.is((await run).status, SAVED);
  await shared.record();
  await clearUp(t, shared, plugin);
  t.regex(countSignals(shared), /TERM/);
  return assertSaved(t, shared, NODES);
}

/** The others would work on for long after this test: that srun ends shows that it has seen the failure. */
async function failsForAll(t: ExecutionContext, {plugin, shared}: Site, isMeant: (task: Task) => boolean): Promise<string> {
  const run = shared.srun(['-K', ...WIDE, ...shared.command(LONG, SAVED)]);
  await firstReady(shared, TASKS, run);
  const failing = shared.tasks().find(isMeant)!;
  end(failing);
  const {stderr} = await run;
  t.regex(stderr, new RegExp(`Exited with exit code ${SAVED}$`, 'm'));
  await clearUp(t, shared, plugin);
  await assertNothingLeft(t, shared);
  return `signals: ${countSignals(shared)}`;
}

async function clearUp(t: ExecutionContext, trial: Trial, plugin: Plugin): Promise<void> {
  if (plugin === 'cgroup') {
    await assertClearedUp(t, trial);
  }
}

function isFirst({pid}: Task): boolean {
  return wordsOf(pid).includes('jobbus-run');
}

function wordsOf(pid: number): string {
  return viewProcess(pid)?.words.join(' ') ?? '';
}

function end({pid}: Task): void {
  process.kill(pid, 'SIGTERM');
}
