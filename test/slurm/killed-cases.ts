/** What is between Slurm and the command is killed. */

import {eventually, isRunning, viewProcess} from '../helpers/processes.js';
import {atMostOnce, LONG, sameAsBare, SAVED, withSrun, type Procedure, type SlurmCase} from './checks.js';
import {ASKING_INTERVAL, type Cluster} from './cluster.js';
import type {Task, Trial} from './trial.js';

export const killedCases: readonly SlurmCase[] = [
  {
    name: 'kill -9 of srun',
    run: async (t, site) => sameAsBare(t, site, srunKilled()),
  },
  {
    name: 'kill -9 of slurmstepd',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withSrun([]), act: stepdKilled}),
  },
];

function srunKilled(): Procedure {
  const pids = new Map<Trial, number>();
  return {
    tasks: 1,
    killedAtOnce: true,
    compared: atMostOnce,
    async start(trial) {
      const {pid, ended} = trial.start(trial.command(LONG, SAVED));
      pids.set(trial, pid);
      return ended;
    },
    act: async (_cluster, trial, {pid}) => {
      process.kill(pids.get(trial)!, 'SIGKILL');
      return eventually('the task to go', () => !isRunning(pid));
    },
  };
}

/** Milliseconds; KillWait and what comes with it. */
const FORGETTING_TIME = 60_000;

/** Then nobody is left to tell the task anything: it runs on, past scancel, until somebody ends it. */
async function stepdKilled(cluster: Cluster, _trial: Trial, {job, pid}: Task): Promise<unknown> {
  const stepd = viewProcess(viewProcess(pid)!.parent)!;
  if (!stepd.words.join(' ').includes('slurmstepd')) {
    throw new Error(`The task's parent is ${stepd.words.join(' ')}`);
  }

  process.kill(stepd.pid, 'SIGKILL');
  await eventually('slurmstepd to go', () => !isRunning(stepd.pid));
  await cluster.ask('scancel', job).catch(() => undefined); // The job may have ended of it already.
  await eventually('Slurm to have forgotten the job', async () => !(await cluster.ask('squeue', '-h', '-o', '%i')).split('\n').includes(job), FORGETTING_TIME, ASKING_INTERVAL);
  return process.kill(pid, 'SIGTERM');
}
