/**
 * `--doctor`: what this node offers, what a run would choose and why, and whether a run works.
 *
 * A bundle of its own: it may load what a launch must not.
 */

import {existsSync, realpathSync, statSync, writeFileSync} from 'node:fs';
import {isatty} from 'node:tty';
import {execa} from 'execa';
import {hasSessionConfiguration, planBus} from './bus.js';
import {candidates, sweptBases, type Candidate} from './candidates.js';
import {connectionOwners} from './connections.js';
import {createDirectory, parentIn, removeDirectory} from './directory.js';
import {REMOVED} from './environment.js';
import {systemReason, wording} from './failure.js';
import type {Caller} from './inherited.js';
import {print, printable} from './log.js';
import {sessionName} from './name.js';
import type {DoctorOptions} from './options.js';
import {ownJob} from './processes.js';
import {findSessions} from './sessions.js';
import {socketProblem} from './sockets.js';

interface Statement {
  readonly topic: string;
  readonly text: string;
}

/** With what to do, where something is to be done. */
type Line = Statement & ({readonly mark: 'good' | 'note'} | {readonly mark: 'bad'; readonly advice: string});

const SYMBOLS: Readonly<Record<Line['mark'], string>> = {good: 'ok', note: '--', bad: '!!'};
/** Of ECMA-48, select graphic rendition: green, dim, red. */
const COLOURS: Readonly<Record<Line['mark'], number>> = {good: 32, note: 2, bad: 31};
const SCHEDULERS = {SLURM_JOB_ID: 'Slurm', PBS_JOBID: 'PBS', LSB_JOBID: 'LSF', FLUX_JOB_ID: 'Flux', JOB_ID: 'Grid Engine'};

/** Milliseconds. */
const TRIAL_TIMEOUT = 60_000;
const ANSWER_TIMEOUT = 5000;

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
  for await (const line of placeLines(options, caller)) {
    show(line);
  }

  show(schedulerLine(caller));
  leakedLines(caller).forEach(show);
  show(sessionsLine(options, caller));
  show(await trialLine(options, caller));
  // The first is the cause: a trial without a daemon fails too.
  const bad = lines.find(line => line.mark === 'bad');
  print(bad === undefined ? 'All is well.\n' : `To do: ${bad.advice}.\n`);
  return bad === undefined ? 0 : 1;
}

function format({mark, topic, text}: Line, colour: boolean): string {
  const symbol = colour ? `\x1b[${COLOURS[mark]}m${SYMBOLS[mark]}\x1b[0m` : SYMBOLS[mark];
  return `${symbol} ${topic.padEnd(TOPIC_WIDTH)} ${printable(text)}\n`;
}

const TOPIC_WIDTH = 14;

const NAME_DAEMON = 'name another daemon with --dbus-daemon or JOBBUS_DBUS_DAEMON';

async function daemonLine(options: DoctorOptions, caller: Caller): Promise<Line> {
  const topic = 'dbus-daemon';
  const plan = planBus({...options, configFile: undefined, services: true}, '/nowhere', undefined, caller.environment.PATH);
  if (!plan.ok) {
    const advice = options.dbusDaemon === undefined ? 'install dbus-daemon, or name one with --dbus-daemon' : NAME_DAEMON;
    return {mark: 'bad', topic, text: wording(plan.failure) ?? '', advice};
  }

  const {binary} = plan.value;
  const {stdout, failed} = await execa(binary, ['--version'], {cwd: '/', reject: false, timeout: TRIAL_TIMEOUT});
  const version = /\d[\d.]+/.exec(stdout)?.[0];
  const configuration = hasSessionConfiguration(binary) ? 'its own session.conf' : 'a configuration of ours: it has no session.conf';
  return failed || version === undefined
    ? {mark: 'bad', topic, text: `${binary} does not run`, advice: NAME_DAEMON}
    : {mark: 'good', topic, text: `${version}, ${binary} of ${ownerOf(binary)}, with ${configuration}`};
}

function ownerOf(path: string): string {
  const {uid} = statSync(path);
  return uid === 0 ? 'root' : uid === process.getuid!() ? 'yours' : `user ${uid}`;
}

/** One by one: where a base hangs, one sees behind which. */
async function* placeLines(options: DoctorOptions, caller: Caller): AsyncGenerator<Line, void, undefined> {
  let chosen = false;
  for (const candidate of candidates(options.runtimeBase, caller.environment, sessionName(undefined))) {
    if (candidate.abstract && chosen) {
      break; // Nobody needs it.
    }

    const problem: string | undefined = candidate.problem ?? (await probe(candidate));
    const serves = problem === undefined;
    if (serves || !candidate.abstract) {
      yield {mark: serves ? 'good' : 'note', topic: 'base', text: `${candidate.base}: ${verdict(candidate, problem, serves && !chosen)}`};
    }

    chosen ||= serves;
  }

  if (!chosen) {
    yield {mark: 'bad', topic: 'base', text: 'no place serves', advice: 'name a usable directory with --runtime-base'};
  }
}

function verdict({origin, network, abstract}: Candidate, problem: string | undefined, chosen: boolean): string {
  const kind = [abstract ? 'the bus without a path' : origin, network === undefined ? 'local' : `network (${network})`].join(', ');
  return problem ?? `${kind}${chosen ? '; a run would go here' : '; would serve'}`;
}

/** Makes a directory as a run would, with a file and, unless the bus needs none, a socket in it, and removes it. */
async function probe({base, abstract}: Candidate): Promise<string | undefined> {
  const directory = `${parentIn(base)}/${sessionName('doctor')}`;
  const made = createDirectory(directory);
  if (!made.ok) {
    return made.failure.kind === 'directory' ? made.failure.reason : wording(made.failure);
  }

  const problem = fileProblem(`${directory}/file`) ?? (abstract ? undefined : await socketProblem(directory));
  await removeDirectory(directory);
  return problem;
}

function fileProblem(path: string): string | undefined {
  try {
    writeFileSync(path, 'as long as a record'.repeat(100));
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}

function schedulerLine({environment}: Caller): Line {
  const names = ownJob(environment).identity.map(entry => entry.split('=', 1)[0]!);
  const found = Object.entries(SCHEDULERS).find(([name]) => names.includes(name));
  return {mark: 'note', topic: 'scheduler', text: found === undefined ? 'none seen' : `${found[1]}, job ${environment[found[0]]!}`};
}

function leakedLines({environment}: Caller): Line[] {
  const directory = environment.XDG_RUNTIME_DIR;
  const wrong = directory === undefined ? undefined : directoryProblem(directory);
  const leaks = ['DBUS_SESSION_BUS_ADDRESS', ...REMOVED].filter(name => environment[name] !== undefined);
  return [
    ...(wrong === undefined ? [] : [{mark: 'note' as const, topic: 'leaked', text: `XDG_RUNTIME_DIR=${directory!}, which ${wrong}; a run sets its own`}]),
    ...(leaks.length === 0 ? [] : [{mark: 'note' as const, topic: 'leaked', text: `${leaks.join(', ')}; a run sets or removes them`}]),
  ];
}

function directoryProblem(path: string): string | undefined {
  const found = existsSync(path) ? statSync(path) : undefined;
  if (found === undefined) {
    return 'does not exist';
  }

  if (!found.isDirectory()) {
    return 'is not a directory';
  }

  if (found.uid !== process.getuid!()) {
    return 'belongs to another user';
  }

  return (found.mode & 0o077) === 0 ? undefined : 'is open to others';
}

function sessionsLine(options: DoctorOptions, {environment}: Caller): Line {
  const sessions = findSessions(sweptBases(environment, options.runtimeBase));
  const count = (state: string): number => sessions.filter(session => session.state === state).length;
  return {mark: 'note', topic: 'sessions', text: `${count('live')} live, ${count('dead')} dead${count('dead') > 0 ? '; the next run or jobbus-run --sweep removes those' : ''}`};
}

/** A session whose command tells its bus's address, and waits until the bus was asked. */
async function trialLine(options: DoctorOptions, caller: Caller): Promise<Line> {
  const words = [
    ...(options.runtimeBase === undefined ? [] : ['--runtime-base', options.runtimeBase]),
    ...(options.dbusDaemon === undefined ? [] : ['--dbus-daemon', options.dbusDaemon]),
  ];
  const trial = execa(caller.launcher, [...words, '--', '/bin/sh', '-c', 'echo "$DBUS_SESSION_BUS_ADDRESS"; read -r line'], {
    cwd: '/',
    env: {...caller.environment, JOBBUS_VERBOSE: ''},
    extendEnv: false,
    reject: false,
    timeout: TRIAL_TIMEOUT,
  });
  let answer: string | undefined;
  for await (const address of trial) {
    answer = await answerOf(address);
    trial.stdin.end('\n');
  }

  const {exitCode, stderr, durationMs} = await trial;
  const advice = 'see what the trial run says';
  return exitCode === 0 && answer !== undefined
    ? {mark: 'good', topic: 'trial run', text: `a session came and went in ${Math.round(durationMs)} ms${answer}`}
    : {mark: 'bad', topic: 'trial run', text: exitCode === 0 ? 'its bus did not answer' : `failed with status ${String(exitCode)}: ${stderr}`, advice};
}

/** @returns what to say of it; undefined where the bus does not answer */
async function answerOf(address: string): Promise<string | undefined> {
  const [, kind, place = ''] = /^unix:(path|abstract)=(.*)$/.exec(address) ?? [];
  const owners = await connectionOwners(kind === 'abstract' ? `\0${place}` : decodeURIComponent(place), ANSWER_TIMEOUT);
  // To one without a path, Node 20 cannot connect.
  return owners !== undefined ? ', and its bus answered' : kind === 'abstract' ? '' : undefined;
}
