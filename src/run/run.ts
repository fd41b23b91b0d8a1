/** The run, in order; its end mirrors its beginning. */

import {mayHaveNeighbours, sweptBases, type Candidate} from '../session/place/candidates.js';
import {dirname} from '../session/place/directory.js';
import {findExecutable} from '../system/executable.js';
import {failed, success, type Result} from '../cli/failure.js';
import {explain, warn} from '../cli/log.js';
import type {RunOptions} from '../cli/options.js';
import {isAlive} from '../system/processes.js';
import {newRecord, writeRecord} from '../session/record.js';
import {serviceOwners} from '../session/bus/connections.js';
import {busSocket} from '../session/bus-plan.js';
import {beginDaemon, beginKeyring, beginSession, busFailure, inFirstPlace, placeProblem, planSession, report, unlessInterrupted, type Beginnings, type Plan} from '../session/begin.js';
import {changedEntries} from '../session/frame.js';
import {dieLike, type Incoming} from '../session/incoming.js';
import type {Lock} from '../session/lock.js';
import {retire} from '../session/meeting-file.js';
import {awaitMembers, sharedWords, type Share} from '../session/sharing.js';
import {isIn} from '../system/signals.js';
import {dismissKeeper, keeperEnd, type Daemon, type Keeper} from '../session/keeper.js';
import {startSweeper} from '../session/sweeper.js';
import {endSession} from '../session/teardown.js';
import {directoryOf, type Caller} from '../system/caller.js';
import {onEnd} from '../system/children.js';
import {attend, type Outcome} from './attend.js';
import {startGate} from './command.js';
import {asks} from './request.js';
import {startSentinel, type Sentinel} from './sentinel.js';
import {treeWithout, type Tree} from './tree.js';

interface Holdings extends Beginnings {
  readonly tree: Tree;
  readonly sentinels: Sentinel[];
  /** Pids of those that sweep beside us, and have not ended. */
  readonly sweepers: Set<number>;
}

/** @returns the exit status */
export async function run(options: RunOptions, caller: Caller, incoming: Incoming): Promise<number> {
  const path = findExecutable(options.command[0], caller.environment.PATH, directoryOf(caller));
  return path.ok ? runFound(path.value, options, caller, incoming) : report(path.failure);
}

/** @param path of the command @param share as the first of those who share the session. @returns the exit status */
export async function runFound(path: string, options: RunOptions, caller: Caller, incoming: Incoming, share?: Share): Promise<number> {
  incoming.translate(options.signalMap);
  return inFirstPlace(options, caller, async (candidate, name, lock) => tryCandidate(candidate, name, {path, options, caller, incoming, lock, share}));
}

interface Circumstances {
  /** Of the command. */
  readonly path: string;
  readonly options: RunOptions;
  readonly caller: Caller;
  readonly incoming: Incoming;
  readonly lock: Lock;
  /** The session may go on without this process: keeper and daemon hold its lock, too. */
  readonly share: Share | undefined;
}

/** @returns the exit status; or, where the place is to blame for a failure, why it cannot serve */
async function tryCandidate(candidate: Candidate, name: string, circumstances: Circumstances): Promise<number | string> {
  const {options, caller, incoming} = circumstances;
  const plan = planSession(candidate, name, options, caller);
  if (!plan.ok) {
    return report(plan.failure);
  }

  const holdings: Holdings = {tree: treeWithout(() => helpersIn(holdings, caller), plan.value.job), sentinels: [], sweepers: new Set()};
  const started = await setUp(plan.value, circumstances, holdings);
  const outcome = started.ok ? await started.value : (placeProblem(started.failure, candidate, plan.value) ?? {status: report(started.failure)});
  if (typeof outcome === 'string') {
    await takeDown(holdings, caller);
    return outcome;
  }

  incoming.stopForwarding();
  if (!started.ok || (await isAlone(plan.value, outcome, circumstances))) {
    await takeDown(holdings, caller);
  } else {
    holdings.sentinels.forEach(sentinel => sentinel.end()); // The keeper sees us go, and others stay.
  }

  if (outcome.keyed !== undefined) {
    dieLike(outcome.keyed);
  }

  return outcome.status;
}

/**
 * Whether nobody shares the session any more. Who has called us learns of a command that has failed at once, and of one that has not when all are done:
 * a signal that asks for the end ends the waiting.
 */
async function isAlone({directory}: Plan, {status}: Outcome, {share, incoming, caller}: Circumstances): Promise<boolean> {
  if (share === undefined) {
    return true;
  }

  const asked = new Promise<void>(resolve => incoming.forwardTo(({signal}) => asks(signal) && !isIn(caller.ignored, signal.number) && resolve()));
  const alone = await awaitMembers(directory, status === 0 ? asked : Promise.resolve());
  incoming.stopForwarding();
  if (alone) {
    retire(share.rendezvous.path, directory);
  } else {
    explain(`${status === 0 ? 'was asked to end' : 'the command has failed'}: the keeper ends the session when the last that shares it has ended`);
  }

  return alone;
}

/** @returns what is still to come, once the command runs */
async function setUp(plan: Plan, circumstances: Circumstances, holdings: Holdings): Promise<Result<Promise<Outcome>>> {
  const {options, caller, lock, share} = circumstances;
  const keeper = beginSession(plan, options, caller, holdings, share && lock);
  if (!keeper.ok) {
    return keeper;
  }

  const bus = await startBus(plan, circumstances, holdings, keeper.value);
  if (!bus.ok) {
    return bus;
  }

  const problem = share?.rendezvous.publish(plan.directory);
  share?.rendezvous.leave();
  if (problem !== undefined) {
    return failed({kind: 'share', problem: `writing ${share!.rendezvous.path}: ${problem}; name another place with --runtime-base`});
  }

  const words = caller.rawWords.slice(-options.command.length);
  const gate = startGate({path: circumstances.path, words, environment: changedEntries(caller, plan.changes)}, caller);
  if (!gate.ok) {
    return gate;
  }

  const {daemon, sentinel} = bus.value;
  const services = async (): Promise<ReadonlySet<number>> => serviceOwners(busSocket(plan.directory, plan.bus.address), daemon.process?.pid);
  const {tree, sentinels} = holdings;
  const attended = await attend({gate: gate.value, command: options.command[0], tree, keeper: keeper.value, daemon, sentinel, sentinels, options, ignored: caller.ignored, incoming: circumstances.incoming, services});
  if (attended.ok) {
    sweepBeside(plan.directory, caller, holdings.sweepers);
  }

  return attended;
}

/** Has swept what dead sessions have left, where there may be any. Only once the command is released: nothing is to hold it up. */
function sweepBeside(directory: string, caller: Caller, sweepers: Set<number>): void {
  // Without TMPDIR and the home, unless the session is there: their server may hang, and we with it.
  const bases = sweptBases({}, dirname(dirname(directory)));
  try {
    const sweeper = mayHaveNeighbours(bases, directory) ? startSweeper(bases, directory, caller) : undefined;
    if (sweeper !== undefined) {
      sweepers.add(sweeper.pid);
      // Its pid may be that of somebody whom the command leaves behind.
      onEnd(sweeper.pid, () => sweepers.delete(sweeper.pid));
    }
  } catch (error) {
    explain(`looking for dead sessions failed: ${String(error)}`); // Whatever there is to be found on the node, it does not end the command.
  }
}

interface Bus {
  readonly daemon: Daemon;
  readonly sentinel: Sentinel;
}

/** Sentinel and record are made in the time that the daemon takes to start. */
async function startBus(plan: Plan, {options, caller, incoming, share}: Circumstances, holdings: Holdings, keeper: Keeper): Promise<Result<Bus>> {
  const daemonStart = beginDaemon(keeper, holdings);
  const sentinel = startSentinel('group');
  if (sentinel.ok) {
    holdings.sentinels.push(sentinel.value);
  }

  const daemon = await daemonStart;
  if (!daemon.ok || !sentinel.ok) {
    return daemon.ok ? (sentinel as Result<never>) : daemon;
  }

  const known = {name: plan.name, address: plan.bus.address, daemon: daemon.value.process, job: plan.job, stopTimeout: options.stopTimeout, keep: options.keep, busOnly: options.busOnly, share: share && {key: share.key, keeper: daemon.value.keeper, bus: sharedWords(options)}};
  const record = newRecord(known, options.command, caller.environment);
  const recorded = writeRecord(plan.directory, record);
  if (!recorded.ok) {
    return recorded; // A daemon that cannot write either, into its log, dies of it, and nobody could tell why.
  }

  const ready = await unlessInterrupted(Promise.all([busFailure(keeper, daemon.value, options, caller), sentinel.value.ready]), incoming);
  if (!ready.ok) {
    return ready;
  }

  const [failure] = ready.value;
  if (failure !== undefined) {
    return failed(failure);
  }

  const unlocked = await beginKeyring(keeper, plan, holdings, incoming);
  const told = unlocked.ok && plan.keyring !== undefined ? writeRecord(plan.directory, {...record, keyring: holdings.ending?.keyring}) : unlocked;
  return told.ok ? success({daemon: daemon.value, sentinel: sentinel.value}) : told;
}

/**
 * Who is below us, and is no process of the command's: a shell that has become jobbus-run may have had others in the background; and of PID 1 the
 * keeper is a child again.
 */
function helpersIn({keeper, sentinels, sweepers}: Holdings, {children}: Caller): ReadonlySet<number> {
  const own = keeper?.reports.keeper();
  const others = own === undefined ? children : [...children, own];
  return new Set([...[...others.filter(isAlive), ...sentinels].map(({pid}) => pid), ...sweepers]);
}

async function takeDown(holdings: Holdings, caller: Caller): Promise<void> {
  const {keeper, ending, sentinels, tree} = holdings;
  const dismiss = (): void => {
    sentinels.forEach(sentinel => sentinel.end());
    if (keeper !== undefined) {
      dismissKeeper(keeper);
    }
  };
  if (ending === undefined) {
    dismiss();
  } else {
    (await endSession({...ending, helpers: helpersIn(holdings, caller), asked: tree.asked, dismiss})).forEach(warn);
  }

  if (keeper !== undefined) {
    await keeperEnd(keeper);
  }

  explain('the keeper is gone');
}
