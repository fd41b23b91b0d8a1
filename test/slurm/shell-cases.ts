/** A batch script with a session for its shell; and, measured beside it, with what recipes have people source instead. */

import type {ExecutionContext} from 'ava';
import {existsSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {eventually, processesWith} from '../helpers/processes.js';
import {assertClearedUp, assertNothingLeft, cancel, countSignals, endTime, firstReady, LONG, SAVED, type Site, type SlurmCase} from './checks.js';
import type {Cluster} from './cluster.js';
import {saveMeasurements, type Measurement} from './rows.js';
import type {Task, Trial} from './trial.js';

export const shellCases: readonly SlurmCase[] = [
  {
    name: 'a session for the shell of a batch script, beside a recipe',
    run: compare,
  },
  {
    name: 'a session for /bin/sh',
    async run(t, {cluster, wrapped}) {
      await wrapped.submit(script('/bin/sh', session(cluster), wrapped, 0));
      t.is(await wrapped.record(), `FAILED ${SAVED}:0`);
      await assertNothingLeft(t, wrapped);
      return countSignals(wrapped);
    },
  },
];

interface Event {
  readonly name: string;
  /** That the command works, unless it is ended. */
  readonly seconds: number;
  readonly act: (cluster: Cluster, trial: Trial, task: Task) => Promise<unknown>;
}

const KILLED = '`kill -9` of the script';

const events: readonly Event[] = [
  {name: 'normal end', seconds: 0, act: async () => Promise.resolve()},
  {name: '`scancel`', seconds: LONG, act: cancel},
  {name: 'time limit', seconds: LONG, act: endTime},
  {name: KILLED, seconds: LONG, act: async (_cluster, _trial, {pid}) => Promise.resolve(process.kill(pid, 'SIGKILL'))},
];

async function compare(t: ExecutionContext, site: Site): Promise<string> {
  const {cluster, plugin} = site;
  const parts = events.map((event, index) => ({event, site: site.part(String(index))}));
  const ours = Promise.all(parts.map(async ({event, site: {wrapped}}) => measure(event, cluster, wrapped, session(cluster))));
  const theirs = Promise.all(parts.map(async ({event, site: {bare}}) => measure(event, cluster, bare, `source ${cluster.directory}/fixtures/recipe-start`)));
  saveMeasurements(plugin, 'scripts', {'a recipe': await theirs, 'jobbus-run --sh-syntax': await ours});
  for (const [index, {event, left}] of (await ours).entries()) {
    t.is(left, plugin === 'cgroup' && event === KILLED ? 'session directory' : 'nothing', event);
    await assertClearedUp(t, parts[index]!.site.wrapped);
  }

  return 'see below';
}

function session({program}: Cluster): string {
  return `eval "$(${program} --sh-syntax)" || exit`;
}

/** A last line that is no command, lest the shell become the command. */
function script(shell: string, beginning: string, trial: Trial, seconds: number): string {
  return `#!${shell}\n${beginning}\n${trial.command(seconds, SAVED).slice(-4).join(' ')}\nexit $?\n`;
}

async function measure({name, seconds, act}: Event, cluster: Cluster, trial: Trial, beginning: string): Promise<Measurement> {
  await trial.submit(script('/bin/bash', beginning, trial, seconds));
  const ended = trial.record();
  const task = await firstReady(trial, 1, ended.then(record => ({stderr: record})));
  await act(cluster, trial, task);
  const status = await ended;
  await eventually('the last process to go', () => leftOf(trial).length === 0, 5000).catch(() => undefined);
  return {event: name, signals: countSignals(trial), status, left: leftOf(trial).join(', ') || 'nothing'};
}

function leftOf(trial: Trial): string[] {
  const processes = processesWith(`JOBBUS_TEST_MARK=${trial.environment.JOBBUS_TEST_MARK}`).map(({words}) => roleOf(words));
  const sessions = trial.leftovers().filter(name => name.startsWith('/')).map(() => 'session directory');
  const home = join(trial.directory, 'xdg');
  const directories = existsSync(home) && readdirSync(home).length > 0 ? ['runtime directory at home'] : [];
  return [...new Set([...processes, ...sessions, ...directories])].sort();
}

function roleOf(words: readonly string[]): string {
  const roles: ReadonlyArray<readonly [RegExp, string]> = [[/slurm-job/, 'command'], [/recipe-cleanup|coproc/, 'cleanup'], [/dbus-daemon/, 'dbus-daemon'], [/slurm_script/, 'script']];
  return roles.find(([pattern]) => pattern.test(words.join(' ')))?.[1] ?? words.join(' ');
}
