/**
 * Under `job_container/tmpfs`, Slurm gives each job a /tmp and a /dev/shm of its own, and removes them with it: /tmp as soon as
 * the job is cancelled, while its tasks still save.
 */

import {existsSync, readdirSync} from 'node:fs';
import type {ExecutionContext} from 'ava';
import {eventually} from '../helpers/processes.js';
import {assertSaved, cancel, firstReady, LONG, SAVED, type SlurmCase} from './checks.js';
import {startCluster, type Cluster} from './cluster.js';
import {containersOf} from './configuration.js';
import {makeTrial, type Trial} from './trial.js';

/** In a cluster of its own. */
export const privateTmpCase: SlurmCase = {
  name: 'job_container/tmpfs',
  async run(t, {plugin}) {
    const cluster = await startCluster(plugin, 2, true);
    try {
      const [counted] = await Promise.all([savesOnCancel(t, cluster), leavesNothingWhenKilled(t, cluster)]);
      return counted;
    } catch (error) {
      t.log(cluster.lastWords());
      throw error;
    } finally {
      await cluster.stop();
    }
  },
};

function trialOn(cluster: Cluster, node: string, name: string): Trial {
  return makeTrial(cluster, name, [node], ['env', '-u', 'JOBBUS_RUNTIME_BASE', cluster.program, '--'], '/dev/shm');
}

async function savesOnCancel(t: ExecutionContext, cluster: Cluster): Promise<string> {
  const trial = trialOn(cluster, cluster.nodes[0]!, 'cancelled');
  const run = trial.srun(trial.command(LONG, SAVED));
  const task = await firstReady(trial, 1, run);
  const directory = /^unix:path=(.*)\/bus$/.exec(task.address)![1]!;
  t.true(directory.startsWith('/dev/shm/') && existsSync(`/proc/${task.pid}/root${directory}`) && !existsSync(directory), `${directory} is the job's alone`);
  await cancel(cluster, trial, task);
  t.is((await run).status, SAVED);
  const counted = await assertSaved(t, trial, 1);
  t.regex(counted, /CONT 1, TERM 1/);
  await assertRemoved(t, cluster, trial);
  return counted;
}

/** Even what Slurm kills at once leaves nothing for a later run. */
async function leavesNothingWhenKilled(t: ExecutionContext, cluster: Cluster): Promise<void> {
  const trial = trialOn(cluster, cluster.nodes[1]!, 'killed');
  const run = trial.srun(trial.command(LONG, SAVED));
  const {pid} = await firstReady(trial, 1, run);
  process.kill(pid, 'SIGKILL');
  t.is((await run).status, 137);
  await trial.record();
  await eventually('the last process to go', () => trial.leftovers().length === 0, 5000).catch(() => undefined);
  t.deepEqual(trial.leftovers(), []);
  await assertRemoved(t, cluster, trial);
}

async function assertRemoved(t: ExecutionContext, cluster: Cluster, {nodes: [node = '']}: Trial): Promise<void> {
  const jobs = (): string[] => readdirSync(containersOf(cluster.directory, node)).filter(name => /^\d+$/.test(name));
  await eventually('the /tmp of the job to go', () => jobs().length === 0, 10_000).catch(() => undefined);
  t.deepEqual(jobs(), []);
}
