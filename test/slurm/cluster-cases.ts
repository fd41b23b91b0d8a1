/** Two clusters whose nodes are one machine, and a user with jobs in both. */

import type {ExecutionContext} from 'ava';
import {assertClearedUp, assertSaved, cancel, firstReady, LONG, SAVED, type Site, type SlurmCase} from './checks.js';
import {startCluster, type Cluster} from './cluster.js';
import {makeTrial, type Ended, type Trial} from './trial.js';

export const clusterCases: readonly SlurmCase[] = [
  {
    name: 'two clusters, one job number, one base',
    run: neighbours,
  },
];

interface Neighbour {
  readonly cluster: Cluster;
  readonly trial: Trial;
}

/** Each cluster counts its jobs from 1: the neighbours have the job's number, user and base in common. */
async function neighbours(t: ExecutionContext, {plugin, wrapped: {directory: base, name}}: Site): Promise<string> {
  const clusters = await Promise.all([startCluster(plugin, 1), startCluster(plugin, 1)]);
  try {
    const [ours, theirs, killed] = [clusters[0], clusters[1], clusters[0]].map((cluster, index) => ({
      cluster,
      trial: makeTrial(cluster, `${name}-${index}`, cluster.nodes, [cluster.program, '--'], base),
    })) as [Neighbour, Neighbour, Neighbour];
    const run = async ({trial}: Neighbour): Promise<Ended> => trial.srun(trial.command(LONG, SAVED));
    const [ourRun, theirRun] = [run(ours), run(theirs)];
    const [ourTask, theirTask] = [await firstReady(ours.trial, 1, ourRun), await firstReady(theirs.trial, 1, theirRun)];
    t.is(ourTask.job, theirTask.job);

    await cancel(ours.cluster, ours.trial, ourTask);
    t.is((await ourRun).status, SAVED);

    const killedRun = run(killed);
    process.kill((await firstReady(killed.trial, 1, killedRun)).pid, 'SIGKILL');
    await killedRun;
    t.is((await killed.trial.srun(killed.trial.wrap('sleep', '1'))).status, 0, 'a run that sweeps');
    t.deepEqual(theirs.trial.tasks()[0]!.signals, []);

    await cancel(theirs.cluster, theirs.trial, theirTask);
    t.is((await theirRun).status, SAVED);
    await assertSaved(t, ours.trial, 1);
    await assertClearedUp(t, killed.trial);
    return await assertSaved(t, theirs.trial, 1);
  } finally {
    await Promise.all(clusters.map(async ({stop}) => stop()));
  }
}
