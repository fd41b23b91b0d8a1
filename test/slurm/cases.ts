/** What must hold under every proctrack plugin. */

import type {ExecutionContext} from 'ava';
import {viewProcess} from '../helpers/processes.js';
import {
  assertClearedUp, assertNothingLeft, assertSaved, cancel, countSignals, endTime, firstReady, LONG, sameAsBare, SAVED, signalAndCancel,
  withSbatch, withSrun, worldOfFour, type Site, type SlurmCase,
} from './checks.js';
import {clusterCases} from './cluster-cases.js';
import {comparison} from './comparison.js';
import {killedCases} from './killed-cases.js';
import {privateTmpCase} from './private-tmp.js';
import {scriptCases} from './script-cases.js';
import {shareCases} from './share-cases.js';
import {shellCases} from './shell-cases.js';
import {signalCases} from './signal-cases.js';
import {streamCases} from './stream-cases.js';
import {treeCases} from './tree-cases.js';

export const cases: readonly SlurmCase[] = [
  {
    name: 'srun',
    async run(t, {wrapped}) {
      const {status} = await wrapped.srun(wrapped.command(0, SAVED));
      t.is(status, SAVED);
      return assertSaved(t, wrapped, 1);
    },
  },
  {
    name: 'srun -n 16 --overcommit',
    run: async (t, site) => sameAsBare(t, site, {tasks: 16, start: withSrun(['-n', '16', '--overcommit']), act: cancel}),
  },
  {
    name: 'srun -N 2',
    async run(t, {cluster, wide}) {
      const run = wide.srun(['-n', '2', ...wide.command(LONG, SAVED)]);
      await cancel(cluster, wide, await firstReady(wide, 2, run));
      t.is((await run).status, SAVED);
      return assertSaved(t, wide, 2);
    },
  },
  {
    name: 'exec jobbus-run in a batch script',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withSbatch([]), act: cancel}),
  },
  {
    name: 'scancel',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withSrun([]), act: cancel}),
  },
  {
    name: 'scancel -s USR1',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withSrun([]), act: signalAndCancel}),
  },
  {
    name: 'time limit',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withSrun(['-t', '5']), act: endTime, termTwice: true}),
  },
  {
    name: 'kill -9 of jobbus-run',
    run: killed,
  },
  {
    name: '--export=ALL, XDG_RUNTIME_DIR points nowhere',
    async run(t, {wrapped}) {
      const inherited = {XDG_RUNTIME_DIR: '/run/user/nobody', DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/user/nobody/bus'};
      const report = 'test -O "$XDG_RUNTIME_DIR" && echo "$XDG_RUNTIME_DIR"; exec "$@"';
      const command = wrapped.command(0, SAVED).slice(2);
      const {status, stdout} = await wrapped.srun(['--export=ALL', ...wrapped.wrap('sh', '-c', report, 'sh', ...command)], inherited);
      t.is(status, SAVED);
      t.true(stdout.startsWith(`${wrapped.directory}/`), `its own directory: ${stdout}`);
      return assertSaved(t, wrapped, 1);
    },
  },
  {
    name: 'exit codes',
    run: exitCodes,
  },
  {
    name: 'srun --mpi=pmi2 -N 2 -n 4',
    run: async (t, {cluster, wide}) => worldOfFour(t, cluster, wide),
  },
  ...scriptCases,
  ...signalCases,
  ...treeCases,
  ...shareCases,
  ...streamCases,
  ...killedCases,
  ...clusterCases,
  ...shellCases,
  privateTmpCase,
  comparison,
];

async function killed(t: ExecutionContext, {plugin, wrapped}: Site): Promise<string> {
  const run = wrapped.srun(wrapped.command(LONG, SAVED));
  const {pid} = await firstReady(wrapped, 1, run);
  t.regex(viewProcess(pid)!.words.join(' '), /jobbus-run/);
  process.kill(pid, 'SIGKILL');
  t.is((await run).status, 137);
  await wrapped.record();
  if (plugin === 'cgroup') {
    // Slurm kills the keeper too, and at once: it is for a later run to remove the directory.
    await assertClearedUp(t, wrapped);
  }

  await assertNothingLeft(t, wrapped);
  return `signals: ${countSignals(wrapped)}`;
}

/** The shell's words, what srun ends with, and what a batch job that executes it has in its record. */
const ends: ReadonlyArray<readonly [words: string, status: number, record: string]> = [
  ['exit-0', 0, 'COMPLETED 0:0'],
  ['exit-7', 7, 'FAILED 7:0'],
  ['exit-143', 143, 'FAILED 143:0'],
  ['kill-TERM', 143, 'FAILED 143:0'],
  ['kill-KILL', 137, 'FAILED 137:0'],
];

async function exitCodes(t: ExecutionContext, {wrapped}: Site): Promise<string> {
  for (const [end] of ends) {
    await wrapped.sbatch(wrapped.wrap('sh', '-c', `'${shellWords(end)}'`), `${wrapped.name}-${end}`);
  }

  for (const [end, status, record] of ends) {
    t.is((await wrapped.srun(wrapped.wrap('sh', '-c', shellWords(end)))).status, status, end);
    t.is(await wrapped.record(`${wrapped.name}-${end}`), record, end);
  }

  await assertNothingLeft(t, wrapped);
  return ends.map(([, status]) => status).join(' ');
}

function shellWords(end: string): string {
  return end.startsWith('kill') ? end.replace(/kill-(.*)/, 'kill -s $1 $$$$') : end.replace('-', ' ');
}
