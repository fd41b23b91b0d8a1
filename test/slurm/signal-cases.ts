/** Signals, in the ways in which people have Slurm send them. */

import type {ExecutionContext} from 'ava';
import {eventually, viewProcess} from '../helpers/processes.js';
import {cancel, sameAsBare, withSbatch, withSrun, type Procedure, type Site, type SlurmCase} from './checks.js';
import type {Cluster} from './cluster.js';
import type {Task, Trial} from './trial.js';

export const signalCases: readonly SlurmCase[] = [
  {
    name: '--signal=USR1@75 and --signal=B:USR1@75',
    run: async (t, site) => besides(t, site, {
      'srun, USR1@': {...step, start: withSrun(['-t', '2', '--signal=USR1@75']), act: awaitAndCancel},
      'exec, B:USR1@': {...step, start: withSbatch(['-t', '2', '--signal=B:USR1@75']), act: awaitAndCancel},
    }),
  },
  {
    name: 'scancel --full and --batch',
    run: async (t, site) => besides(t, site, {
      'srun, --full': {...step, act: askToCancel('--full')},
      'exec, --full': {...step, start: withSbatch([]), act: askToCancel('--full')},
      'exec, --full -s USR1': {...step, start: withSbatch([]), act: sendAndCancel('--full')},
      'exec, --batch -s USR1': {...step, start: withSbatch([]), act: sendAndCancel('--batch')},
    }),
  },
  {
    name: 'scontrol suspend and resume',
    run: async (t, site) => sameAsBare(t, site, {...step, act: suspendResumeCancel}),
  },
];

const step: Procedure = {tasks: 1, start: withSrun([]), act: cancel};

/** Several at the same time, on the same two nodes; all of them to their ends, whatever becomes of one. */
async function besides(t: ExecutionContext, site: Site, procedures: Readonly<Record<string, Procedure>>): Promise<string> {
  const counts = Object.entries(procedures).map(async ([name, procedure], index) => `${name}: ${await sameAsBare(t, site.part(`part${index}`), procedure)}`);
  await Promise.allSettled(counts);
  return (await Promise.all(counts)).join('; ');
}

/**
 * Slurm looks every half a minute, and signals that much early: 15 to 45 seconds after the start. At the start itself, the signal would now and then
 * meet a command that does not listen yet.
 */
async function awaitAndCancel(cluster: Cluster, trial: Trial, {job}: Task): Promise<unknown> {
  await heard(trial, 'SIGUSR1', 60_000);
  return cluster.ask('scancel', job);
}

function askToCancel(option: string) {
  return async (cluster: Cluster, _trial: Trial, {job}: Task): Promise<unknown> => cluster.ask('scancel', option, job);
}

function sendAndCancel(option: string) {
  return async (cluster: Cluster, trial: Trial, {job}: Task): Promise<unknown> => {
    await cluster.ask('scancel', option, '-s', 'USR1', job);
    await heard(trial, 'SIGUSR1');
    return cluster.ask('scancel', job);
  };
}

/** Slurm sends TSTP and two seconds later stops or freezes what it knows of the job. */
async function suspendResumeCancel(cluster: Cluster, trial: Trial, {job, pid}: Task): Promise<unknown> {
  await cluster.ask('scontrol', 'suspend', job);
  await heard(trial, 'SIGTSTP');
  await eventually('the task to be stopped or frozen', () => /[TD]/.test(viewProcess(pid)!.state));
  await cluster.ask('scontrol', 'resume', job);
  await heard(trial, 'SIGCONT');
  return cluster.ask('scancel', job);
}

export async function heard(trial: Trial, signal: NodeJS.Signals, time?: number): Promise<unknown> {
  return eventually(`${signal} to come`, () => trial.tasks().every(({signals}) => signals.includes(signal)), time);
}
