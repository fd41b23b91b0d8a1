/** The run, in order; its end mirrors its beginning. */

import {busSocket, daemonFailure, planBus, releaseKeeper, startDaemon, startKeeper, type BusPlan, type Daemon, type Keeper} from './bus.js';
import {loadUpkeep} from './bundles.js';
import {candidates, mayHaveNeighbours, sweptBases, type Candidate} from './candidates.js';
import {now} from './clock.js';
import {startCommand, type Command} from './command.js';
import {createDirectory, dirname, parentIn} from './directory.js';
import {commandEnvironment, sessionVariables} from './environment.js';
import {findExecutable} from './executable.js';
import {exitStatus, failed, success, wording, type Failure, type Result} from './failure.js';
import type {Caller} from './inherited.js';
import {takeLock, type Lock} from './lock.js';
import {explain, log, warn} from './log.js';
import {sessionName} from './name.js';
import type {RunOptions, SessionOptions} from './options.js';
import {ownJob, sharesGroup, statusOf, type JobMembership} from './processes.js';
import {newRecord, writeRecord} from './record.js';
import {startSentinel, type Sentinel} from './sentinel.js';
import type {Signals} from './signals.js';
import {socketProblem} from './sockets.js';
import {endSession, type Ending} from './teardown.js';

/** What is decided before anything is made. */
export interface Plan {
  readonly name: string;
  readonly directory: string;
  readonly bus: BusPlan;
  readonly job: JobMembership;
  readonly environment: Readonly<Record<string, string>>;
}

/** What the beginning of a session has made so far, for its end to take away. */
export interface Beginnings {
  keeper?: Keeper;
  ending?: Ending;
}

interface Holdings extends Beginnings {
  sentinel?: Promise<Result<Sentinel>>;
  treeSentinel?: Promise<Result<Sentinel>>;
  finishSweep?: () => Promise<void>;
}

interface Bus {
  readonly daemon: Daemon;
  readonly sentinel: Sentinel;
}

/** @returns the exit status */
export async function run(options: RunOptions, caller: Caller, signals: Signals): Promise<number> {
  const command = findExecutable(options.command[0], caller.environment.PATH);
  if (!command.ok) {
    return report(command.failure);
  }

  return inFirstPlace(options, caller, async (candidate, name) => tryCandidate(candidate, name, options, caller, signals));
}

/**
 * @param attempt is given the session's name and its lock; returns the exit status; or, where the place is to blame for a failure, why it cannot serve
 * @returns the exit status
 */
export async function inFirstPlace(
  options: SessionOptions,
  caller: Caller,
  attempt: (candidate: Candidate, name: string, lock: Lock) => Promise<number | string>,
): Promise<number> {
  const name = sessionName(caller.environment.SLURM_JOB_ID);
  // Before anything tells the name to others, who could bind it.
  const lock = await takeLock(name);
  if (!lock.ok) {
    return report(lock.failure);
  }

  const tried: Array<{base: string; reason: string}> = [];
  for (const candidate of candidates(options.runtimeBase, caller.environment, name)) {
    const reason = candidate.problem ?? (await attempt(candidate, name, lock.value));
    if (typeof reason === 'number') {
      return reason;
    }

    tried.push({base: candidate.base, reason});
    explain(`${candidate.base} cannot serve: ${reason}`);
  }

  return report({kind: 'no-place', tried: tried.filter(({base}, index) => tried.findIndex(other => other.base === base) === index)});
}

/** @returns the exit status; or, where the place is to blame for a failure, why it cannot serve */
async function tryCandidate(
  candidate: Candidate,
  name: string,
  options: RunOptions,
  caller: Caller,
  signals: Signals,
): Promise<number | string> {
  const plan = planSession(candidate, name, options, caller);
  if (!plan.ok) {
    return report(plan.failure);
  }

  const holdings: Holdings = {};
  const started = await setUp(plan.value, options, caller, signals, holdings);
  const status = started.ok ? await started.value : ((await placeProblem(started.failure, candidate, plan.value)) ?? report(started.failure));
  if (typeof status === 'number') {
    signals.stopForwarding();
  }

  await takeDown(holdings);
  return status;
}

/** Whether the place is to blame: then another may serve. */
export async function placeProblem(failure: Failure, {abstract}: Candidate, {directory}: Plan): Promise<string | undefined> {
  switch (failure.kind) {
    case 'directory':
    case 'record':
      return failure.reason;
    case 'daemon':
      return abstract ? undefined : socketProblem(directory);
    default:
      return undefined;
  }
}

export function report(failure: Failure): number {
  const words = wording(failure);
  if (words !== undefined) {
    warn(words);
  }

  return exitStatus(failure);
}

export function planSession({base, network, abstract}: Candidate, name: string, options: SessionOptions, caller: Caller): Result<Plan> {
  const directory = `${parentIn(base)}/${name}`;
  const bus = planBus(options, directory, abstract ? name : undefined, caller.environment.PATH);
  if (!bus.ok) {
    return bus;
  }

  if (network !== undefined) {
    explain(`${base} is on a network file system, ${network}${options.runtimeBase === undefined ? ': nothing local can serve' : ''}`);
  }

  if (abstract) {
    explain('the bus gets a socket without a path: no base takes one that has one');
  }

  const variables = sessionVariables(directory, bus.value.address, options.busOnly);
  return success({
    name,
    directory,
    bus: bus.value,
    job: ownJob(caller.environment),
    environment: commandEnvironment(caller.environment, variables),
  });
}

/** @returns what is still to come of the exit status, once the command runs */
async function setUp(
  plan: Plan,
  options: RunOptions,
  caller: Caller,
  signals: Signals,
  holdings: Holdings,
): Promise<Result<Promise<number>>> {
  const begun = await beginSession(plan, options, caller, holdings);
  if (!begun.ok) {
    return begun;
  }

  const bus = await startBus(plan, options, caller, signals, holdings, begun.value);
  if (!bus.ok) {
    return bus;
  }

  const command = await startCommand(options.command, caller, plan.environment);
  if (!command.ok) {
    return command;
  }

  explain(`started ${options.command[0]} as process ${command.value.process.pid}`);
  return success(attend(command.value, bus.value, options, caller, signals, holdings));
}

/**
 * The keeper first: from then on, whatever is made will be removed.
 *
 * @param lock for keeper and daemon to hold, where the session goes on without this process
 */
export async function beginSession(
  {directory, bus, environment, job}: Plan,
  {stopTimeout, keep}: SessionOptions,
  caller: Caller,
  beginnings: Beginnings,
  lock?: Lock,
): Promise<Result<Keeper>> {
  const keeper = await startKeeper(bus, environment, caller, lock);
  if (!keeper.ok) {
    return keeper;
  }

  beginnings.keeper = keeper.value;
  const created = createDirectory(directory);
  if (!created.ok) {
    return created;
  }

  const since = statusOf(process.pid)!.startTime;
  beginnings.ending = {directory, marks: bus.marks, since, job, daemon: undefined, busSocket: busSocket(directory, bus.address), stopTimeout, keep};
  explain(`made ${directory}`);
  return keeper;
}

/** From its pid on, the daemon is the end's to stop. */
export async function beginDaemon(keeper: Keeper, beginnings: Beginnings): Promise<Result<Daemon>> {
  const daemon = await startDaemon(keeper);
  if (daemon.ok) {
    const {process, died} = daemon.value;
    beginnings.ending = {...beginnings.ending!, daemon: process, daemonDied: died};
    explain(`started ${keeper.plan.binary} as process ${process?.pid ?? '?'} at ${keeper.plan.address}`);
  }

  return daemon;
}

/** @returns what the work returns, or a failure of kind `interrupted` as soon as a signal comes that would have ended a command */
export async function unlessInterrupted<T>(work: Promise<T>, signals: Signals): Promise<Result<T>> {
  await Promise.race([work, signals.interrupted]);
  const signal = signals.interruption();
  return signal === undefined ? success(await work) : failed({kind: 'interrupted', signal});
}

/** Sentinel and record are made in the time that the daemon takes to start. */
async function startBus(
  plan: Plan,
  options: RunOptions,
  caller: Caller,
  signals: Signals,
  holdings: Holdings,
  keeper: Keeper,
): Promise<Result<Bus>> {
  const daemonStart = beginDaemon(keeper, holdings);
  const sentinelStart = startSentinel(caller, false);
  holdings.sentinel = sentinelStart;
  const daemon = await daemonStart;
  if (!daemon.ok) {
    return daemon;
  }

  const known = {name: plan.name, address: plan.bus.address, daemon: daemon.value.process, job: plan.job, stopTimeout: options.stopTimeout, keep: options.keep};
  const recorded = writeRecord(plan.directory, newRecord(known, options.command, caller.environment));
  const ready = await unlessInterrupted(Promise.all([daemonFailure(keeper, daemon.value), sentinelStart]), signals);
  if (!ready.ok) {
    return ready;
  }

  const [failure, sentinel] = ready.value;
  if (failure !== undefined) {
    return failed(failure);
  }

  if (!sentinel.ok) {
    return sentinel;
  }

  return recorded.ok ? success({daemon: daemon.value, sentinel: sentinel.value}) : recorded;
}

/** Waits for the end of the command, and sees to it that it gets its signals. @returns its exit status */
async function attend(
  command: Command,
  {daemon, sentinel}: Bus,
  options: RunOptions,
  caller: Caller,
  signals: Signals,
  holdings: Holdings,
): Promise<number> {
  let killTimer: NodeJS.Timeout | undefined;
  let tree: Sentinel | undefined;
  const onEnding = (): void => {
    if (options.killAfter !== undefined) {
      killTimer = setTimeout(() => command.signal('SIGKILL'), options.killAfter);
    }
  };
  const released = signals.forwardTo({command, group: sentinel, tree: () => tree, onEnding});

  let over = false;
  void daemon.died.then(() => over || warn('the dbus-daemon of this session has died; the command goes on without a bus'));
  const watchTree = async (): Promise<void> => {
    if (holdings.treeSentinel === undefined && !sharesGroup(command.process.pid)) {
      holdings.treeSentinel = startSentinel(caller, true);
      tree = await heldSentinel(holdings.treeSentinel);
      explain(`process ${command.process.pid} has a process group of its own: a second sentinel listens in our tree`);
    }
  };
  const groupChecks = GROUP_CHECKS.map(time => setTimeout(() => void watchTree(), time));
  holdings.finishSweep = sweepBeside(holdings.ending!.directory, released);

  const status = await command.ended;
  over = true;
  [killTimer, ...groupChecks].forEach(clearTimeout);
  explain(`${options.command[0]} ended with status ${status}`);
  return status;
}

/** Milliseconds after its start at which we look whether the command has left our process group; a shell does so at once. */
const GROUP_CHECKS = [50, 250, 1000];

/** Milliseconds that a sweep gets to be done with the session at which it is when the command has ended. */
const SWEEP_TIME = 3000;

/** Milliseconds that a sweep takes for one session after the other, however soon the command ends. */
const LEAST_SWEEP = 1000;

/**
 * Sweeps what dead sessions have left, where there may be any. Only once the command is released: among a thousand sessions, the
 * first look takes a while.
 *
 * @returns for the end, to wait for it a while
 */
function sweepBeside(directory: string, released: Promise<void>): () => Promise<void> {
  let over = false;
  const sweepAll = async (): Promise<void> => {
    // Without TMPDIR and the home, unless the session is there: their server may hang, and we with it.
    const bases = sweptBases({}, dirname(dirname(directory)));
    await released;
    if (mayHaveNeighbours(bases, directory)) {
      const start = now();
      await loadUpkeep().sweepBeside(bases, log, () => !over || now() - start < LEAST_SWEEP);
    }
  };
  // Whatever there is to be found on the node, it does not end the command.
  const done = sweepAll().catch((error: unknown) => explain(`sweeping failed: ${String(error)}`));
  return async () => {
    over = true;
    await Promise.race([done, new Promise(resolve => setTimeout(resolve, SWEEP_TIME))]);
  };
}

async function takeDown({keeper, ending, sentinel, treeSentinel, finishSweep}: Holdings): Promise<void> {
  const sentinelsEnded = [sentinel, treeSentinel].map(async held => (await heldSentinel(held))?.end());
  if (ending !== undefined) {
    (await endSession(ending)).forEach(warn);
  }

  await Promise.all(sentinelsEnded);
  await finishSweep?.();
  if (keeper !== undefined) {
    await releaseKeeper(keeper);
  }
}

async function heldSentinel(held: Promise<Result<Sentinel>> | undefined): Promise<Sentinel | undefined> {
  const result = await held;
  return result?.ok ? result.value : undefined;
}
