/** The same under dbus-run-session and under jobbus-run: measured for the one, demanded of the other. */

import type {ExecutionContext} from 'ava';
import {existsSync, mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {eventually, isRunning, processesWith, type ProcessView} from '../helpers/processes.js';
import {assertClearedUp, countSignals, firstReady, LONG, SAVED, type Site, type SlurmCase} from './checks.js';
import type {Cluster} from './cluster.js';
import {saveMeasurements, type Measurement} from './rows.js';
import type {Ended, Task, Trial} from './trial.js';

export const comparison: SlurmCase = {
  name: 'beside dbus-run-session',
  run: compare,
};

interface Event {
  readonly name: string;
  readonly act: (cluster: Cluster, trial: Trial, task: Task) => Promise<unknown>;
  /** With jobbus-run; undefined where what is left gets a moment between TERM and KILL. */
  readonly signals: string | undefined;
  readonly status: number;
}

const events: readonly Event[] = [
  {name: 'normal end, with an activated service', act: async () => Promise.resolve(), signals: 'none, saved', status: SAVED},
  {name: '`scancel`', act: cancelled, signals: 'CONT 1, TERM 1, saved', status: SAVED},
  {name: '`scancel -s USR1`, then `scancel`', act: signalled, signals: 'CONT 1, TERM 1, USR1 1, saved', status: SAVED},
  {name: '`kill -9` of the wrapper', act: async (_cluster, _trial, {pid}) => Promise.resolve(process.kill(pid, 'SIGKILL')), signals: undefined, status: 137},
];

/** Milliseconds; where processes are left that hold its output, srun waits for them a minute. */
const HANGING = 20_000;

async function compare(t: ExecutionContext, site: Site): Promise<string> {
  const parts = events.map((event, index) => ({event, site: site.part(String(index))}));
  const ours = measureAll(parts.map(({event, site: {cluster, wrapped}}) => ({event, cluster, trial: wrapped})));
  const theirs = measureAll(parts.map(({event, site: {cluster, incumbent}}) => ({event, cluster, trial: incumbent})));
  saveMeasurements(site.plugin, 'wrappers', {'dbus-run-session': await theirs, 'jobbus-run': await ours});
  for (const [index, {signals, status, left}] of (await ours).entries()) {
    const {event, site: {wrapped}} = parts[index]!;
    t.is(signals, event.signals ?? signals, event.name);
    t.is(status, event.status, event.name);
    t.regex(left, site.plugin === 'cgroup' && event.status !== SAVED ? /^session directory$/ : /^nothing$/, event.name);
    await assertClearedUp(t, wrapped);
  }

  return 'see below';
}

const SERVICE = 'org.example.Stubborn';

interface Measured {
  readonly event: Event;
  readonly cluster: Cluster;
  readonly trial: Trial;
}

/** All are ready before anything happens to one: a job that lingers keeps others from its node. */
async function measureAll(all: readonly Measured[]): Promise<readonly Measurement[]> {
  const running = all.map(({cluster, trial}, index) => ({run: trial.srun(...commandWithService(cluster, trial, index === 0 ? 0 : LONG))}));
  const tasks = await Promise.all(running.map(async ({run}, index) => firstReady(all[index]!.trial, 1, run)));
  return Promise.all(all.map(async ({event, cluster, trial}, index) => {
    await event.act(cluster, trial, tasks[index]!);
    return measure(event.name, trial, running[index]!.run);
  }));
}

async function measure(event: string, trial: Trial, run: Promise<Ended>): Promise<Measurement> {
  const inTime = await Promise.race([run.then(() => true), new Promise<false>(resolve => setTimeout(() => resolve(false), HANGING))]);
  await eventually('the last process to go', () => leftOf(trial).length === 0, 3000).catch(() => undefined);
  const left = [...leftOf(trial), ...(inTime ? [] : ['srun hangs'])].join(', ') || 'nothing';
  const signals = `${countSignals(trial)}${hasSaved(trial) ? ', saved' : ''}`;
  if (!inTime) {
    processesOf(trial).forEach(({pid}) => process.kill(pid, 'SIGKILL'));
  }

  sockets(trial).forEach(path => rmSync(path));
  return {event, signals, status: (await run).status, left};
}

/** With its bus answering to the end. */
function hasSaved(trial: Trial): boolean {
  return trial.tasks().every(({buses}) => buses.length === 2 && buses.every(bus => /^[\da-f]{32}$/.test(bus)));
}

function leftOf(trial: Trial): string[] {
  const processes = processesOf(trial).map(({words}) => roleOf(words));
  const directories = trial.leftovers().filter(name => name.startsWith('/')).map(() => 'session directory');
  return [...new Set([...processes, ...sockets(trial).map(() => 'socket'), ...directories])].sort();
}

/** All but srun, which ends with its step. */
function processesOf(trial: Trial): ProcessView[] {
  return processesWith(`JOBBUS_TEST_MARK=${trial.environment.JOBBUS_TEST_MARK}`).filter(({words}) => words[0] !== 'srun');
}

function roleOf(words: readonly string[]): string {
  const roles: ReadonlyArray<readonly [RegExp, string]> = [[/slurm-job/, 'command'], [/stubborn-service/, 'service']];
  return roles.find(([pattern]) => pattern.test(words.join(' ')))?.[1] ?? basename(words[0] ?? '');
}

/** Of buses that are outside the session's directory. */
function sockets(trial: Trial): string[] {
  const paths = trial.tasks().map(({address}) => /^unix:path=(\/tmp\/dbus-[^,]*)/.exec(address)?.[1]);
  return paths.filter(path => path !== undefined).filter(path => existsSync(path));
}

/** The service does not end with its bus. */
function commandWithService({directory: root}: Cluster, trial: Trial, seconds: number): [words: readonly string[], environment: Record<string, string>] {
  const services = join(trial.directory, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  writeFileSync(join(services, `${SERVICE}.service`), `[D-BUS Service]\nName=${SERVICE}\nExec=${root}/fixtures/stubborn-service\n`);
  const start = `dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:${SERVICE} uint32:0`;
  const command = trial.command(seconds, SAVED).slice(-4);
  return [trial.wrap('sh', '-c', `${start} >/dev/null; exec "$@"`, 'sh', ...command), {XDG_DATA_DIRS: join(trial.directory, 'share')}];
}

async function cancelled(cluster: Cluster, _trial: Trial, {job}: Task): Promise<unknown> {
  return cluster.ask('scancel', job);
}

/** The job may end of the USR1. */
async function signalled(cluster: Cluster, trial: Trial, {job, pid}: Task): Promise<unknown> {
  await cluster.ask('scancel', '-s', 'USR1', job);
  await eventually('USR1 to come, or the end', () => trial.tasks()[0]!.signals.includes('SIGUSR1') || !isRunning(pid));
  return cluster.ask('scancel', job).catch(() => undefined);
}
