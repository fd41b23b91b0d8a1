/** What stands between jobbus-run and the application: a shell that dies of TERM, or that has gone; a jobbus-run; a library. */

import {execFileSync} from 'node:child_process';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {assertSaved, cancel, countSignals, firstReady, LONG, SAVED, type Procedure, type Site, type SlurmCase} from './checks.js';
import type {Trial} from './trial.js';

export const treeCases: readonly SlurmCase[] = [
  {
    name: '--signal-all: the application of a shell that dies of TERM',
    run: async (t, site) => saved(t, site, {options: ['--signal-all', '--stop-timeout', '20'], script: application => `${application} & wait`, status: 143}, 'CONT 1, TERM 1'),
  },
  {
    name: '--wait: an application that its command has left in the background',
    run: async (t, site) => saved(t, site, {options: ['--wait'], script: application => `setsid ${application} & exit ${SAVED}`, status: SAVED}, 'CONT 1, TERM 1'),
  },
  {
    name: '--map-signal USR1:TERM, scancel -s USR1',
    async run(t, site) {
      // Where Slurm signals more than the task, USR1 itself reaches the command, too.
      const signals = site.plugin === 'cgroup' ? 'TERM 1' : 'TERM 1, USR1 1';
      return saved(t, site, {options: ['--map-signal', 'USR1:TERM'], script: application => `exec ${application}`, status: SAVED, act: sendUsr1}, signals);
    },
  },
  {
    name: 'an inner jobbus-run that the command leaves',
    async run(t, {cluster, wrapped}) {
      const script = `setsid ${wrapped.command(LONG, SAVED).join(' ')} </dev/null >/dev/null 2>&1 & until grep -qs ^ready ${wrapped.directory}/*.log; do sleep 0.1; done; exit 6`;
      const {status, stderr} = await wrapped.srun([cluster.program, '--stop-timeout', '20', '--', 'sh', '-c', script]);
      t.is(status, 6, stderr);
      t.is(countSignals(wrapped), 'CONT 1, TERM 1');
      return assertSaved(t, wrapped, 1);
    },
  },
  {
    name: 'a foreign libdbus in LD_LIBRARY_PATH',
    async run(t, {cluster, wrapped}) {
      const library = join(wrapped.directory, 'libdbus-1.so.3');
      execFileSync('gcc', ['-shared', '-Wl,-soname,libdbus-1.so.3', '-o', library, '-x', 'c', '/dev/null']);
      const command = ['env', '-u', 'LD_LIBRARY_PATH', ...wrapped.command(0, SAVED).slice(wrapped.wrap().length)];
      const {status, stderr} = await wrapped.srun(['env', `LD_LIBRARY_PATH=${wrapped.directory}`, cluster.program, '--', ...command]);
      t.is(status, SAVED, stderr);
      return assertSaved(t, wrapped, 1);
    },
  },
];

interface Between {
  readonly options: readonly string[];
  /** Of a shell. */
  readonly script: (application: string) => string;
  readonly status: number;
  readonly act?: Procedure['act'];
}

async function saved(t: ExecutionContext, {cluster, wrapped}: Site, {options, script, status, act = cancel}: Between, signals: string): Promise<string> {
  const run = wrapped.srun([cluster.program, ...options, '--', 'sh', '-c', script(applicationOf(wrapped))]);
  await act(cluster, wrapped, await firstReady(wrapped, 1, run));
  t.is((await run).status, status);
  t.is(countSignals(wrapped), signals);
  return assertSaved(t, wrapped, 1);
}

/** Without jobbus-run and the `--` in front. */
function applicationOf(trial: Trial): string {
  return trial.command(LONG, SAVED).slice(trial.wrap().length).join(' ');
}

const sendUsr1: Procedure['act'] = async (cluster, _trial, {job}) => cluster.ask('scancel', '-s', 'USR1', job);
