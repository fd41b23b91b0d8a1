/**
 * `--doctor`: what this node offers, what a run would choose and why, and whether a run works.
 *
 * A bundle of its own: it may load what a launch must not.
 */

import {existsSync, lstatSync, realpathSync, statSync} from 'node:fs';
import {isatty} from 'node:tty';
import {execa} from 'execa';
import {hasSessionConfiguration, planBus} from './bus.js';
import {candidates, socketProblem, sweptBases, type Candidate} from './candidates.js';
import {createDirectory, parentIn, removeDirectory} from './directory.js';
import {wording} from './failure.js';
import type {Caller} from './inherited.js';
import {print} from './log.js';
import {sessionName} from './name.js';
import type {DoctorOptions} from './options.js';
import {findSessions} from './sessions.js';

type Mark = 'good' | 'note' | 'bad';

interface Line {
  readonly mark: Mark;
  readonly topic: string;
  readonly text: string;
  /** What to do, where something is to be done. */
  readonly advice?: string;
}

const SYMBOLS: Readonly<Record<Mark, string>> = {good: 'ok', note: '--', bad: '!!'};
/** Of ECMA-48, select graphic rendition: green, dim, red. */
const COLOURS: Readonly<Record<Mark, number>> = {good: 32, note: 2, bad: 31};
const SCHEDULERS = {SLURM_JOB_ID: 'Slurm', PBS_JOBID: 'PBS', LSB_JOBID: 'LSF', FLUX_JOB_ID: 'Flux', JOB_ID: 'Grid Engine'};
const TRIAL_TIMEOUT = 30_000;

/** @returns 0 when a run works here, else 1 */
export async function diagnose(options: DoctorOptions, caller: Caller): Promise<number> {
  const colour = isatty(1) && !caller.environment.NO_COLOR;
  const lines: Line[] = [];
  const show = (line: Line): void => {
    lines.push(line);
    print(format(line, colour));
  };
  show({mark: 'good', topic: 'Node', text: `${process.version}, ${process.execPath}`});
  show({mark: 'good', topic: 'sh', text: realpathSync('/bin/sh')});
  show(await daemonLine(options, caller));
  for (const line of [...(await placeLines(options, caller)), schedulerLine(caller), ...leakedLines(caller), sessionsLine(options, caller)]) {
    show(line);
  }

  show(await trialLine(options, caller));
  const bad = lines.filter(({mark}) => mark === 'bad');
  print(bad.length === 0 ? 'All is well.\n' : `To do: ${bad.map(({topic, advice}) => advice ?? `see ${topic}`).join('; ')}.\n`);
  return bad.length === 0 ? 0 : 1;
}

function format({mark, topic, text}: Line, colour: boolean): string {
  const symbol = colour ? `\x1b[${COLOURS[mark]}m${SYMBOLS[mark]}\x1b[0m` : SYMBOLS[mark];
  return `${symbol} ${topic.padEnd(TOPIC_WIDTH)} ${text}\n`;
}

const TOPIC_WIDTH = 14;

async function daemonLine(options: DoctorOptions, caller: Caller): Promise<Line> {
  const topic = 'dbus-daemon';
  const plan = planBus({...options, configFile: undefined, services: true}, '/nowhere', undefined, caller.environment.PATH);
  if (!plan.ok) {
    return {mark: 'bad', topic, text: wording(plan.failure) ?? '', advice: 'install dbus-daemon or name one with --dbus-daemon'};
  }

  const {binary} = plan.value;
  const {stdout, failed} = await execa(binary, ['--version'], {reject: false, timeout: TRIAL_TIMEOUT});
  const version = /\d[\d.]+/.exec(stdout)?.[0];
  const configuration = hasSessionConfiguration(binary) ? 'its own session.conf' : 'a configuration of ours: it has no session.conf';
  return failed || version === undefined
    ? {mark: 'bad', topic, text: `${binary} does not run`, advice: 'name another daemon with --dbus-daemon'}
    : {mark: 'good', topic, text: `${version}, ${binary} of ${ownerOf(binary)}, with ${configuration}`};
}

function ownerOf(path: string): string {
  const {uid} = statSync(path);
  return uid === 0 ? 'root' : uid === process.getuid!() ? 'yours' : `user ${uid}`;
}

async function placeLines(options: DoctorOptions, caller: Caller): Promise<Line[]> {
  const lines: Line[] = [];
  let chosen = false;
  for (const candidate of candidates(options.runtimeBase, caller.environment, sessionName(undefined))) {
    if (candidate.abstract && chosen) {
      break; // Nobody needs it.
    }

    const problem = candidate.problem ?? (candidate.abstract ? undefined : await probe(candidate));
    const serves = problem === undefined;
    lines.push({mark: serves ? 'good' : 'note', topic: 'base', text: `${candidate.base}: ${verdict(candidate, problem, serves && !chosen)}`});
    chosen ||= serves;
  }

  return chosen ? lines : [...lines, {mark: 'bad', topic: 'base', text: 'no place serves', advice: 'name a usable directory with --runtime-base'}];
}

function verdict({origin, network, abstract}: Candidate, problem: string | undefined, chosen: boolean): string {
  const kind = [abstract ? 'the bus without a path' : origin, network === undefined ? 'local' : `network (${network})`].join(', ');
  return problem ?? `${kind}${chosen ? '; a run would go here' : '; would serve'}`;
}

/** Makes a directory as a run would, and removes it. */
async function probe({base}: Candidate): Promise<string | undefined> {
  const directory = `${parentIn(base)}/${sessionName('doctor')}`;
  const made = createDirectory(directory);
  const problem = made.ok ? await socketProblem(directory) : made.failure.kind === 'directory' ? made.failure.reason : 'failed';
  await removeDirectory(directory);
  return problem;
}

function schedulerLine({environment}: Caller): Line {
  const found = Object.entries(SCHEDULERS).find(([name]) => environment[name] !== undefined);
  return {mark: 'note', topic: 'scheduler', text: found === undefined ? 'none seen' : `${found[1]}, job ${environment[found[0]]!}`};
}

function leakedLines({environment}: Caller): Line[] {
  const directory = environment.XDG_RUNTIME_DIR;
  const wrong = directory === undefined ? undefined : directoryProblem(directory);
  const leaks = ['DBUS_SESSION_BUS_ADDRESS', 'DBUS_SESSION_BUS_PID', 'DBUS_STARTER_ADDRESS'].filter(name => environment[name] !== undefined);
  return [
    ...(wrong === undefined ? [] : [{mark: 'note' as const, topic: 'leaked', text: `XDG_RUNTIME_DIR=${directory!}, which ${wrong}; a run sets its own`}]),
    ...(leaks.length === 0 ? [] : [{mark: 'note' as const, topic: 'leaked', text: `${leaks.join(', ')}; a run sets or removes them`}]),
  ];
}

function directoryProblem(path: string): string | undefined {
  const found = existsSync(path) ? lstatSync(path) : undefined;
  if (found === undefined) {
    return 'does not exist';
  }

  if (found.uid !== process.getuid!()) {
    return 'belongs to another user';
  }

  if ((found.mode & 0o077) !== 0) {
    return 'is open to others';
  }

  return undefined;
}

function sessionsLine(options: DoctorOptions, {environment}: Caller): Line {
  const sessions = findSessions(sweptBases(environment, options.runtimeBase));
  const count = (state: string): number => sessions.filter(session => session.state === state).length;
  return {mark: 'note', topic: 'sessions', text: `${count('live')} live, ${count('dead')} dead${count('dead') > 0 ? '; the next run or jobbus-run --sweep removes those' : ''}`};
}

async function trialLine(options: DoctorOptions, caller: Caller): Promise<Line> {
  const words = [
    ...(options.runtimeBase === undefined ? [] : ['--runtime-base', options.runtimeBase]),
    ...(options.dbusDaemon === undefined ? [] : ['--dbus-daemon', options.dbusDaemon]),
  ];
  const {exitCode, stderr, durationMs} = await execa(caller.launcher, [...words, '--', 'sh', '-c', 'test -S "$XDG_RUNTIME_DIR/bus" || test -d "$XDG_RUNTIME_DIR"'], {
    env: caller.environment,
    extendEnv: false,
    reject: false,
    timeout: TRIAL_TIMEOUT,
  });
  return exitCode === 0
    ? {mark: 'good', topic: 'trial run', text: `a session came and went in ${Math.round(durationMs)} ms`}
    : {mark: 'bad', topic: 'trial run', text: `failed with status ${String(exitCode)}: ${stderr}`, advice: 'see what the trial run says'};
}
