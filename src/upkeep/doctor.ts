/**
 * `--doctor`: what this node offers, what a run would choose and why, and whether a run works.
 *
 * Signals do what they do to any process, so that it can be broken off wherever it hangs; but while a program runs, they come to us, and it
 * ends with us.
 */

import {existsSync, statSync, writeFileSync} from 'node:fs';
import {answering} from '../session/place/answers.js';
import {hasSessionConfiguration, planBus, type BusPlan} from '../session/bus-plan.js';
import {candidates, sweptBases, type Candidate} from '../session/place/candidates.js';
import {createDirectory} from '../session/place/directory.js';
import {REMOVED} from '../session/environment.js';
import {advice, systemReason, wording, type Result} from '../cli/failure.js';
import {jobCalled, jobWord, ownJob} from '../session/job.js';
import {print, printable, printableJson} from '../cli/log.js';
import {sessionName} from '../session/name.js';
import {askedFor, type DoctorOptions} from '../cli/options.js';
import {removeDirectory} from '../session/place/removal.js';
import {withheldFromDaemon} from '../session/begin.js';
import {changedEntries, FRAME, keepForUs} from '../session/frame.js';
import type {Incoming} from '../session/incoming.js';
import {socketProblem} from '../session/place/sockets.js';
import {meetingIn} from '../session/meeting-file.js';
import {shareKey} from '../session/sharing.js';
import {commonParents, findSession, findSessions} from '../session/sessions.js';
import type {Caller} from '../system/caller.js';
import {now} from '../system/clock.js';
import {isTerminal} from '../system/descriptors.js';
import {daemonAdvice, hindrances, type Line} from './hindrances.js';
import {lastLine, runInterruptibly, tryRun} from './trial.js';

declare const VERSION: string;

/** Colours of ECMA-48, select graphic rendition: green, dim, red. */
const MARKS = {good: {symbol: 'ok', colour: 32}, note: {symbol: '--', colour: 2}, bad: {symbol: '!!', colour: 31}};
const SCHEDULERS = {SLURM_JOB_ID: 'Slurm', PBS_JOBID: 'PBS', LSB_JOBID: 'LSF', FLUX_JOB_ID: 'Flux', _CONDOR_SCRATCH_DIR: 'HTCondor', JOB_ID: 'Grid Engine'};

/** @returns 0 when all is well, else 1 */
export async function diagnose(options: DoctorOptions, caller: Caller, incoming: Incoming): Promise<number> {
  keepForUs(caller);
  const colour = isTerminal(1) && !caller.environment.NO_COLOR;
  const lines: Line[] = [];
  for await (const line of examine(options, caller, incoming)) {
    lines.push(line);
    if (!options.json) {
      print(format(line, colour));
    }
  }

  // The first is the cause: a trial without a daemon fails too.
  const bad = lines.find(line => line.mark === 'bad');
  print(options.json ? asJson(lines, bad?.advice) : bad === undefined ? 'All is well.\n' : `To do: ${printable(bad.advice)}.\n`);
  return bad === undefined ? 0 : 1;
}

async function* examine(options: DoctorOptions, caller: Caller, incoming: Incoming): AsyncGenerator<Line, void, undefined> {
  yield {mark: 'good', topic: 'jobbus-run', text: `${VERSION}, ${FRAME}, on Bun ${process.versions.bun!}`};
  const plan = planBus({...options, configFile: undefined, services: true}, '/nowhere', undefined, caller.environment.PATH);
  yield* hindrances({options, caller, incoming, daemon: plan.ok ? plan.value.binary : undefined});
  yield await daemonLine(plan, options, caller, incoming);
  yield* placeLines(options, caller);
  yield schedulerLine(caller);
  yield await shareLine(options, caller);
  yield* leakedLines(caller);
  yield await sessionsLine(options, caller);
  yield await trialLine(options, caller, incoming);
}

function asJson(lines: readonly Line[], toDo: string | undefined): string {
  return `${printableJson({well: toDo === undefined, toDo: toDo ?? null, findings: lines.map(({mark, topic, text}) => ({mark, topic, text}))})}\n`;
}

function format({mark, topic, text}: Line, isColoured: boolean): string {
  const {symbol, colour} = MARKS[mark];
  return `${isColoured ? `\x1b[${colour}m${symbol}\x1b[0m` : symbol} ${topic.padEnd(TOPIC_WIDTH)} ${printable(text)}\n`;
}

const TOPIC_WIDTH = 14;

async function daemonLine(plan: Result<BusPlan>, options: DoctorOptions, caller: Caller, incoming: Incoming): Promise<Line> {
  const bad = (text: string, toDo = daemonAdvice(options)): Line => ({mark: 'bad', topic: 'dbus-daemon', text, advice: toDo});
  if (!plan.ok) {
    return bad(wording(plan.failure) ?? '');
  }

  const {binary} = plan.value;
  const ran = await runInterruptibly({path: binary, words: ['--version'], environment: changedEntries(caller, withheldFromDaemon(options))}, incoming);
  if (!ran.ok) {
    return bad(wording(ran.failure) ?? '', 'see what this user may start and open (ulimit -u, ulimit -n)');
  }

  const version = ran.value.status === 0 ? /\d[\d.]+/.exec(ran.value.output.toString())?.[0] : undefined;
  const configuration = hasSessionConfiguration(binary) ? 'its own session.conf' : 'a configuration of ours: it has no session.conf';
  return version === undefined
    ? bad([`${binary} does not run`, lastLine(ran.value.errors)].filter(Boolean).join(': '))
    : {mark: 'good', topic: 'dbus-daemon', text: `${version}, ${binary} of ${ownerOf(binary)}, with ${configuration}`};
}

function ownerOf(path: string): string {
  const {uid} = statSync(path);
  return uid === 0 ? 'root' : uid === process.getuid!() ? 'yours' : `user ${uid}`;
}

const NO_SPACE = systemReason({code: 'ENOSPC'});

/** One by one: where a base hangs, one sees behind which. */
async function* placeLines(options: DoctorOptions, caller: Caller): AsyncGenerator<Line, void, undefined> {
  let chosen = false;
  let full: string | undefined;
  for await (const candidate of candidates(options.runtimeBase, caller.environment, sessionName(jobWord(ownJob(caller.environment))))) {
    if (candidate.abstract && chosen) {
      break; // Nobody needs it.
    }

    const problem: string | undefined = candidate.problem ?? (await probe(candidate));
    const serves = problem === undefined;
    if (serves || !candidate.abstract) {
      yield {mark: serves ? 'good' : 'note', topic: 'base', text: `${candidate.base}: ${verdict(candidate, problem, serves && !chosen)}`};
    }

    chosen ||= serves;
    full ??= problem === NO_SPACE ? candidate.base : undefined;
  }

  if (!chosen) {
    const other = advice(askedFor('runtimeBase', options), 'a usable directory', '--runtime-base');
    yield {mark: 'bad', topic: 'base', text: 'no place serves', advice: full === undefined ? other : `make room in ${full}, or ${other}`};
  }
}

function verdict({origin, network, abstract}: Candidate, problem: string | undefined, chosen: boolean): string {
  const kind = [abstract ? 'the bus without a path' : origin, network === undefined ? 'local' : `network (${network})`].join(', ');
  return problem ?? `${kind}${chosen ? '; a run would go here' : '; would serve'}`;
}

/** Makes a directory as a run would, with a file and, unless the bus needs none, a socket in it, and removes it. */
async function probe({parent, abstract}: Candidate): Promise<string | undefined> {
  const directory = `${parent}/${sessionName('doctor')}`;
  const made = createDirectory(directory);
  if (!made.ok) {
    return made.failure.kind === 'directory' ? made.failure.reason : wording(made.failure);
  }

  const problem = fileProblem(`${directory}/file`) ?? (abstract ? undefined : socketProblem(directory));
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
  const {identity} = ownJob(environment);
  const found = Object.entries(SCHEDULERS).flatMap(([name, scheduler]) => identity.filter(entry => entry.startsWith(`${name}=`)).map(entry => `${scheduler}, job ${jobCalled(entry)}`));
  return {mark: 'note', topic: 'scheduler', text: found[0] ?? 'none seen'};
}

/** What a run with --share, here and now, would do. */
async function shareLine({runtimeBase}: DoctorOptions, {environment}: Caller): Promise<Line> {
  const key = shareKey('', environment);
  if (key === undefined) {
    return {mark: 'note', topic: 'share', text: 'there is no job to share a session in; --share needs a name'};
  }

  const parents = commonParents(await answering(sweptBases(environment, runtimeBase)));
  const session = parents.map(parent => meetingIn(parent, key.digest)).find(directory => directory !== undefined && findSession(directory)?.state === 'live');
  return {mark: 'note', topic: 'share', text: session === undefined ? `a run with --share would be the first by ${key.text}` : `a run with --share would join ${session}, by ${key.text}`};
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

async function sessionsLine(options: DoctorOptions, {environment}: Caller): Promise<Line> {
  const sessions = findSessions(await answering(sweptBases(environment, options.runtimeBase)));
  const count = (state: string): number => sessions.filter(session => session.state === state).length;
  return {mark: 'note', topic: 'sessions', text: `${count('live')} live, ${count('dead')} dead${count('dead') > 0 ? '; the next run or jobbus-run --sweep removes those' : ''}`};
}

async function trialLine(options: DoctorOptions, caller: Caller, incoming: Incoming): Promise<Line> {
  const start = now();
  const problem = await tryRun(options, caller, incoming);
  return problem === undefined
    ? {mark: 'good', topic: 'trial run', text: `a session came and went in ${Math.round(now() - start)} ms, and its bus answered`}
    : {mark: 'bad', topic: 'trial run', text: problem, advice: 'see what the trial run says'};
}
