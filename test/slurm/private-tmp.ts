/**
 * Under `job_container/tmpfs`, Slurm gives each job a /tmp and a /dev/shm of its own, and removes them with it: /tmp as soon as
 * the job is cancelled, while its tasks still save.
 */

import {existsSync, readdirSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {eventually} from '../helpers/processes.js';
import {assertSaved, cancel, countSignals, firstReady, LONG, SAVED} from './checks.js';
import {startCluster, type Cluster} from './cluster.js';
import {containersOf, type Plugin} from './configuration.js';
import {whereRunnable} from './runnable.js';
import {makeTrial, type Trial} from './trial.js';

export function testPrivateTmp(plugin: Plugin): void {
  whereRunnable(plugin, `job_container/tmpfs with proctrack/${plugin}`, () => {
    test(`job_container/tmpfs with proctrack/${plugin}`, async t => {
      t.timeout(180_000);
      const cluster = await startCluster(plugin, 2, true);
      try {
        await Promise.all([savesOnCancel(t, cluster), leavesNothingWhenKilled(t, cluster)]);
      } finally {
        await cluster.stop();
      }
    });
  });
}

function trialOn(cluster: Cluster, node: string, name: string): Trial {
  return makeTrial(cluster, name, [node], ['env', '-u', 'JOBBUS_RUNTIME_BASE', cluster.program, '--'], '/dev/shm');
}

async function savesOnCancel(t: ExecutionContext, cluster: Cluster): Promise<void> {
  const trial = trialOn(cluster, cluster.nodes[0]!, 'cancelled');
  const run = trial.srun(trial.command(LONG, SAVED));
  const task = await firstReady(trial, 1, run);
  const directory = /^unix:path=(.*)\/bus$/.exec(task.address)![1]!;
  t.true(directory.startsWith('/dev/shm/') && existsSync(`/proc/${task.pid}/root${directory}`) && !existsSync(directory), `${directory} is the job's alone`);
  await cancel(cluster, trial, task);
  t.is((await run).status, SAVED);
  t.regex(await assertSaved(t, trial, 1), /CONT 1, TERM 1/);
  await assertRemoved(t, cluster, trial);
}

/** Even what Slurm kills at once leaves nothing for a later run. */
async function leavesNothingWhenKilled(t: ExecutionContext, cluster: Cluster): Promise<void> {
  const trial = trialOn(cluster, cluster.nodes[1]!, 'killed');
  const run = trial.srun(trial.command(LONG, SAVED));
  const {pid} = await firstReady(trial, 1, run);
  process.kill(pid, 'SIGKILL');
  t.is((await run).status, 137);
  t.log(countSignals(trial));
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
