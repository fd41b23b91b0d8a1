import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdtempSync, readdirSync, rmdirSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, dirname, join} from 'node:path';
import {createInterface} from 'node:readline/promises';
import test from 'ava';
import {eventually, processesWith} from '../helpers/processes.js';
import {startCluster} from './cluster.js';
import {whereRunnable} from './runnable.js';

/** Has a cluster and a job in it. */
const holder = join(import.meta.dirname, 'hold-cluster.js');

whereRunnable('cgroup', 'clusters', () => {
  test.serial('a cluster that fails to come up says what its daemons said last, and is gone', async t => {
    const place = mkdtempSync(join(tmpdir(), 'jobbus-slurm-place-'));
    const {TMPDIR: before} = process.env;
    process.env.TMPDIR = place;
    const starting = startCluster('nonsense', 1);
    if (before === undefined) {
      delete process.env.TMPDIR;
    } else {
      process.env.TMPDIR = before;
    }

    const error = await t.throwsAsync(starting);
    t.regex(error.message, /^The last lines of slurmd-\w+:(\n {2}.*)*\n {2}slurmd: error: cannot find proctrack plugin for proctrack\/nonsense/m);
    t.deepEqual(readdirSync(place), []);
    rmdirSync(place);
  });

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
    test(`no cluster outlives the process that made it: ${signal}`, async t => {
      const holding = spawn(process.execPath, [holder], {detached: true, stdio: ['pipe', 'pipe', 'ignore']});
      const ended = once(holding, 'exit');
      const lines = createInterface({input: holding.stdout})[Symbol.asyncIterator]();
      const configuration = String((await lines.next()).value);
      t.is(basename(configuration), 'slurm.conf');
      const mark = `SLURM_CONF=${configuration}`;
      await eventually('the job to run', () => processesWith(mark).some(({words}) => /^(\/usr)?\/bin\/sleep$/.test(words[0]!)));

      process.kill(-holding.pid!, signal); // As a terminal does.
      await ended;
      await eventually('the last of the cluster to go', () => !existsSync(dirname(configuration)));
      t.deepEqual(processesWith(mark), []);
      const nodes = String((await lines.next()).value);
      t.deepEqual(readdirSync('/sys/fs/cgroup/freezer').filter(name => name.includes(nodes)), []);
    });
  }
});
