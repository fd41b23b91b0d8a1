/** Registers the cases for one proctrack plugin: in one cluster, and each on two nodes that no other case uses meanwhile. */

import test, {type ExecutionContext} from 'ava';
import {eventually} from '../helpers/processes.js';
import {cases} from './cases.js';
import type {Site, SlurmCase} from './checks.js';
import {ASKING_INTERVAL, startCluster, type Cluster} from './cluster.js';
import type {Plugin} from './configuration.js';
import {makePool, type Pair, type Pool} from './pool.js';
import {saveRows, type Row} from './rows.js';
import {whereRunnable} from './runnable.js';
import {makeTrial, type Trial} from './trial.js';

/** How many cases run at the same time. */
const SITES = 3;

/** Milliseconds; a job that lingers in COMPLETING keeps all others from its node. */
const IDLE_TIME = 90_000;

export function testPlugin(plugin: Plugin): void {
  whereRunnable(plugin, `proctrack/${plugin}`, () => registerCases(plugin));
}

function registerCases(plugin: Plugin): void {
  let cluster: Cluster | undefined;
  let pool: Pool;
  const rows: Row[] = [];

  test.before('the cluster starts', async t => {
    t.timeout(60_000);
    cluster = await startCluster(plugin, 2 * SITES);
    pool = makePool(cluster.nodes);
  });

  test.after.always('the cluster stops', async () => {
    saveRows(plugin, rows);
    await cluster?.stop();
  });

  for (const [index, slurmCase] of cases.entries()) {
    const failing = slurmCase.failing?.includes(plugin) ?? false;
    const register = failing ? test.failing : test;
    register(`proctrack/${plugin}: ${slurmCase.name}`, async t => {
      t.timeout(180_000);
      const row: Row = {name: slurmCase.name, verdict: failing ? 'known to fail' : 'FAILED', counted: ''};
      rows.push(row);
      const trials: Trial[] = [];
      row.counted = await pool.lend(async nodes => runCase(t, slurmCase, siteAt(plugin, cluster!, nodes, `case${index}`, trials), trials));
      row.verdict = 'ok';
    });
  }
}

const SHARE = 'export JOBBUS_RUNTIME_BASE="$JOBBUS_RUNTIME_BASE/$SLURMD_NODENAME"; mkdir -p "$JOBBUS_RUNTIME_BASE"; exec "$0" --share -- "$@"';

/** @param trials to which each trial is added that is made */
function siteAt(plugin: Plugin, cluster: Cluster, nodes: Pair, name: string, trials: Trial[]): Site {
  const trial = (kind: string, where: Pair, wrapper: readonly string[]): Trial => {
    const made = makeTrial(cluster, `${name}-${kind}`, where, wrapper);
    trials.push(made);
    return made;
  };
  return {
    plugin,
    cluster,
    wrapped: trial('wrapped', nodes.slice(0, 1), [cluster.program, '--']),
    bare: trial('bare', nodes.slice(1), []),
    incumbent: trial('incumbent', nodes.slice(1), ['dbus-run-session', '--']),
    wide: trial('wide', nodes, [cluster.program, '--']),
    shared: trial('shared', nodes, ['sh', '-c', SHARE, cluster.program]),
    part: part => siteAt(plugin, cluster, nodes, `${name}-${part}`, trials),
  };
}

async function runCase(t: ExecutionContext, {run}: SlurmCase, site: Site, trials: readonly Trial[]): Promise<string> {
  try {
    return await run(t, site);
  } catch (error) {
    t.log(String(error)); // The nodes may not come to rest, and what says so would be in its place.
    throw error;
  } finally {
    for (const trial of trials) {
      trial.clear();
    }

    await idleAgain(site);
  }
}

async function idleAgain({cluster, wide}: Site): Promise<void> {
  const states = async (): Promise<string> => cluster.ask('sinfo', '-h', '-N', '-n', wide.nodes.join(), '-o', '%t');
  try {
    await eventually('the nodes to be idle', async () => /^(idle\n)*idle$/.test(await states()), IDLE_TIME, ASKING_INTERVAL);
  } catch (error) {
    const jobs = await cluster.ask('squeue', '-h', '-w', wide.nodes.join(), '-o', '%i %T %N %j');
    throw new Error(`${(error as Error).message}: they are ${await states()}, with the jobs\n${jobs}\n${cluster.lastWords()}`);
  }
}
