/** The beginning of a session, in order; teardown.ts is its end. */

import {busSocket, daemonMarks, planBus, type BusPlan} from './bus-plan.js';
import {dictionaryArgument, withClient, type Client} from './bus/client.js';
import {candidates, firstOfEachBase, type Candidate} from './place/candidates.js';
import {createDirectory} from './place/directory.js';
import {sessionChanges, type Changes} from './environment.js';
import {exitStatus, failed, success, wording, type Failure, type Result} from '../cli/failure.js';
import {explain, warn} from '../cli/log.js';
import {jobWord, ownJob, type JobMembership} from './job.js';
import {sessionName} from './name.js';
import {askedFor, type SessionOptions} from '../cli/options.js';
import {statusOf} from '../system/processes.js';
import {socketProblem} from './place/sockets.js';
import {isText} from '../system/bytes.js';
import {absolute, type Caller} from '../system/caller.js';
import {onChange, setSubreaper} from '../system/children.js';
import {changedEntries} from './frame.js';
import type {Incoming} from './incoming.js';
import {keyringFailure, startKeyring} from './keyring.js';
import {planKeyring, type KeyringPlan} from './keyring-plan.js';
import {daemonFailure, startDaemon, startKeeper, type Daemon, type Keeper} from './keeper.js';
import {takeLock, type Lock} from './lock.js';
import type {Ending} from './teardown.js';

/** What is decided before anything is made. */
export interface Plan {
  readonly name: string;
  readonly directory: string;
  readonly bus: BusPlan;
  readonly keyring: KeyringPlan | undefined;
  readonly job: JobMembership;
  readonly changes: Changes;
}

/** What the beginning has made so far, for the end to take away. */
export interface Beginnings {
  keeper?: Keeper;
  ending?: Ending;
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
  const name = sessionName(jobWord(ownJob(caller.environment)));
  // Before anything tells the name to others, who could bind it.
  const lock = takeLock(name);
  if (!lock.ok) {
    return report(lock.failure);
  }

  const tried: Array<{base: string; reason: string}> = [];
  for await (const candidate of candidates(options.runtimeBase, caller.environment, name)) {
    const reason = candidate.problem ?? (await attempt(candidate, name, lock.value));
    if (typeof reason === 'number') {
      return reason;
    }

    tried.push({base: candidate.base, reason});
    explain(`${candidate.base} cannot serve: ${reason}`);
  }

  return report({kind: 'no-place', asked: askedFor('runtimeBase', options), tried: firstOfEachBase(tried)});
}

/** Whether the place is to blame: then another may serve. */
export function placeProblem(failure: Failure, {abstract}: Candidate, {directory}: Plan): string | undefined {
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

export function planSession({base, parent, network, abstract}: Candidate, name: string, options: SessionOptions, caller: Caller): Result<Plan> {
  const {environment} = caller;
  const directory = `${parent}/${name}`;
  const configFile = options.configFile && absolute(options.configFile, caller);
  const bus = planBus({...options, configFile}, directory, abstract ? name : undefined, environment.PATH);
  if (!bus.ok) {
    return bus;
  }

  const keyring = planKeyring(options, directory, caller);
  if (!keyring.ok) {
    return keyring;
  }

  if (network !== undefined) {
    explain(`${base} is on a network file system, ${network}${options.runtimeBase === undefined ? ': nothing local can serve' : ''}`);
  }

  if (abstract) {
    explain('the bus gets a socket without a path: no base takes one that has one');
  }

  const changes = sessionChanges(directory, bus.value.address, options.busOnly);
  return success({name, directory, bus: bus.value, keyring: keyring.value, job: ownJob(environment), changes});
}

/** What would keep a daemon of the system from starting: a foreign libdbus, say. */
export const LOADERS = ['LD_LIBRARY_PATH', 'LD_PRELOAD', 'LD_AUDIT'];

/** What the daemon does not get of the caller's environment, for {@link changedEntries}; one that was asked for gets all. */
export function withheldFromDaemon({dbusDaemon}: Pick<SessionOptions, 'dbusDaemon'>): Readonly<Record<string, null>> {
  return dbusDaemon === undefined ? Object.fromEntries(LOADERS.map(each => [each, null])) : {};
}

/** Milliseconds, on a node on which all wait for a processor. */
const GIVING_TIME = 5000;

/**
 * Waits until the bus serves. From then on its services have of the caller what the daemon itself must not see.
 *
 * @returns what failed if it does not serve
 */
export async function busFailure(keeper: Keeper, daemon: Daemon, options: SessionOptions, {environment}: Caller): Promise<Failure | undefined> {
  const failure = await daemonFailure(keeper, daemon);
  const names = Object.keys(withheldFromDaemon(options)).filter(name => environment[name] !== undefined && isText(environment[name]));
  const withheld = names.map((name): [string, string] => [name, environment[name]!]);
  const {directory, address} = keeper.plan;
  const give = async (client: Client): Promise<unknown> => client.call('UpdateActivationEnvironment', dictionaryArgument(withheld));
  if (failure === undefined && withheld.length > 0 && (await withClient(busSocket(directory, address), GIVING_TIME, give)) === undefined) {
    explain(`giving ${names.join(', ')} to services of the bus failed: it does not take them`);
  }

  return failure;
}

/**
 * The keeper first: from then on, whatever is made will be removed.
 *
 * @param lock for keeper and daemon to hold, where the session goes on without this process
 */
export function beginSession(plan: Plan, options: SessionOptions, caller: Caller, beginnings: Beginnings, lock?: Lock): Result<Keeper> {
  const {directory, bus, keyring, job} = plan;
  // It leaves us as its parent ends; and not to come back to us, as it would where another place has been tried before.
  setSubreaper(false);
  const keeper = startKeeper(bus, changedEntries(caller, {...plan.changes, ...withheldFromDaemon(options)}), `JOBBUS_KEEPER=${plan.name}`, caller, keyring, lock);
  if (!keeper.ok) {
    return keeper;
  }

  beginnings.keeper = keeper.value;
  onChange(keeper.value.starter, () => setSubreaper(true));
  const created = createDirectory(directory);
  if (!created.ok) {
    return created;
  }

  const strays = {entries: daemonMarks(directory, bus.address), busSocket: busSocket(directory, bus.address), spared: []};
  beginnings.ending = {directory, roots: [statusOf(process.pid)!], strays, helpers: new Set(), job, daemon: undefined, stopTimeout: options.stopTimeout, keep: options.keep};
  explain(`made ${directory}`);
  return keeper;
}

/** From its pid on, the daemon is the end's to stop. */
export async function beginDaemon(keeper: Keeper, beginnings: Beginnings): Promise<Result<Daemon>> {
  const daemon = await startDaemon(keeper);
  if (!daemon.ok) {
    return daemon;
  }

  const {process: started, died, keeper: keeperProcess} = daemon.value;
  const ending = beginnings.ending!;
  beginnings.ending = {...ending, roots: [...ending.roots, keeperProcess], daemon: started, daemonDied: died};
  explain(`started ${keeper.plan.binary} as process ${started?.pid ?? '?'} at ${keeper.plan.address}`);
  return daemon;
}

/** Behind it the keyring serves, and is unlocked, if there is to be one: the bus must serve. */
export async function beginKeyring(keeper: Keeper, {keyring}: Plan, beginnings: Beginnings, incoming: Incoming): Promise<Result<undefined>> {
  if (keyring === undefined) {
    return success(undefined);
  }

  // Whatever comes: once it has been told to, the keeper starts one, and the end is to know of it.
  const started = await startKeyring(keeper, keyring);
  if (!started.ok) {
    return started;
  }

  beginnings.ending = {...beginnings.ending!, keyring: started.value};
  explain(`started ${keyring.binary} as process ${started.value.pid}`);
  const failure = await unlessInterrupted(keyringFailure(keeper, keyring, started.value), incoming);
  return failure.ok && failure.value !== undefined ? failed(failure.value) : (failure as Result<undefined>);
}

/** @returns what the work returns, or a failure of kind `interrupted` as soon as a signal comes that would have ended a command */
export async function unlessInterrupted<T>(work: Promise<T>, incoming: Incoming): Promise<Result<T>> {
  await Promise.race([work, incoming.interrupted]);
  const signal = incoming.interruption();
  return signal === undefined ? success(await work) : failed({kind: 'interrupted', signal});
}
