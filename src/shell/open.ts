/**
 * `--sh-syntax` and its like: a session for the shell that evaluates what is printed.
 *
 * It is set up as a run's is, and then left to keeper and daemon: this process ends. The shell owns it, which its record says, and the
 * keeper sees the shell's end.
 */

import {findCallingShell, type CallingShell} from './calling-shell.js';
import {answering} from '../session/place/answers.js';
import {mayHaveNeighbours, sweptBases, type Candidate} from '../session/place/candidates.js';
import {dirname} from '../session/place/directory.js';
import {environmentChanges, type Change} from '../session/environment.js';
import {failed, type Failure, type Result} from '../cli/failure.js';
import {explain, print, warn} from '../cli/log.js';
import type {ShellOptions, Syntax} from '../cli/options.js';
import {newRecord, writeRecord} from '../session/record.js';
import {beginDaemon, beginKeyring, beginSession, busFailure, inFirstPlace, placeProblem, planSession, report, unlessInterrupted, type Beginnings, type Plan} from '../session/begin.js';
import {FRAME} from '../session/frame.js';
import type {Incoming} from '../session/incoming.js';
import {handOver, dismissKeeper, keeperEnd, type Daemon, type Keeper} from '../session/keeper.js';
import type {Lock} from '../session/lock.js';
import {startSweeper} from '../session/sweeper.js';
import {endSession} from '../session/teardown.js';
import {isSayable, openingCode} from './shell-syntax.js';
import type {Caller} from '../system/caller.js';
import {endOwned, FORMS, noShell, sessionOf} from './owned.js';

/** Of a value that the record keeps for the end, as JSON has it. */
const LONGEST_VALUE = 4096;

interface Circumstances {
  readonly options: ShellOptions;
  readonly caller: Caller;
  readonly incoming: Incoming;
  readonly shell: CallingShell;
  readonly lock: Lock;
}

/** @returns the exit status */
export async function openSession(options: ShellOptions, caller: Caller, incoming: Incoming): Promise<number> {
  const shell = findCallingShell();
  if (shell === undefined) {
    return report(noShell(FORMS[options.syntax](`--${options.syntax}-syntax`)));
  }

  const present = await sessionOf(shell, options.runtimeBase, caller);
  if (present !== undefined) {
    warn(`process ${shell.pid} has a session already, ${present.directory}; nothing was changed; ${FORMS[options.syntax]('--stop')} ends it`);
    return 0;
  }

  if (shell.isSubshell) {
    warn(`process ${shell.pid} is a subshell, and the session ends with it; for the whole shell, evaluate this outside of parentheses, pipes and substitutions`);
  }

  return inFirstPlace(options, caller, async (candidate, name, lock) => tryCandidate(candidate, name, {options, caller, incoming, shell, lock}));
}

/** @returns the exit status; or, where the place is to blame for a failure, why it cannot serve */
async function tryCandidate(candidate: Candidate, name: string, circumstances: Circumstances): Promise<number | string> {
  const {options, caller} = circumstances;
  const plan = planSession(candidate, name, options, caller);
  if (!plan.ok) {
    return report(plan.failure);
  }

  const changes = environmentChanges(caller.environment, plan.value.changes);
  const problem = changesProblem(changes, options.syntax);
  if (problem !== undefined) {
    return report({kind: 'shell', problem});
  }

  const beginnings: Beginnings = {};
  const begun = await begin(plan.value, changes, circumstances, beginnings);
  if (begun.ok) {
    return handToShell(plan.value, changes, circumstances);
  }

  const status = placeProblem(begun.failure, candidate, plan.value) ?? report(begun.failure);
  await takeDown(beginnings);
  return status;
}

function changesProblem(changes: readonly Change[], syntax: Syntax): string | undefined {
  const long = changes.find(({from}) => JSON.stringify(from).length > LONGEST_VALUE);
  if (long !== undefined) {
    return `remembering ${long.name} failed: its value has more than ${LONGEST_VALUE} characters; unset it first`;
  }

  const unsayable = changes.find(({to}) => !isSayable(syntax, to));
  return unsayable && `setting ${unsayable.name} failed: its value has a line break, which ${syntax} cannot be told; name another place with --runtime-base`;
}

/** Behind it, the session is the shell's. Killed before, this process leaves a dead session: at first the record names it. */
async function begin(plan: Plan, changes: readonly Change[], circumstances: Circumstances, beginnings: Beginnings): Promise<Result<undefined>> {
  const {options, caller, shell: {pid, startTime, words}, lock} = circumstances;
  const keeper = beginSession(plan, options, caller, beginnings, lock);
  if (!keeper.ok) {
    return keeper;
  }

  const known = {name: plan.name, address: plan.bus.address, daemon: undefined, job: plan.job, stopTimeout: options.stopTimeout, keep: options.keep, busOnly: options.busOnly};
  const record = newRecord(known, words, caller.environment);
  const recorded = writeRecord(plan.directory, record);
  if (!recorded.ok) {
    return recorded;
  }

  const bus = await startBus(keeper.value, plan, circumstances, beginnings);
  if (!bus.ok) {
    return bus;
  }

  const {process: daemon, keeper: watcher} = bus.value;
  explain(`process ${watcher.pid}, the keeper, watches process ${pid}: ${words.join(' ')}`);
  return writeRecord(plan.directory, {
    ...record, keyring: beginnings.ending?.keyring, owner: {pid, startTime}, daemon, shell: {syntax: options.syntax, keeper: watcher, changes},
  });
}

/** Behind it the keeper watches the shell. */
async function startBus(keeper: Keeper, plan: Plan, {incoming, shell, options, caller}: Circumstances, beginnings: Beginnings): Promise<Result<Daemon>> {
  const daemon = await beginDaemon(keeper, beginnings);
  if (!daemon.ok) {
    return daemon;
  }

  const ready = await unlessInterrupted(busFailure(keeper, daemon.value, options, caller), incoming);
  if (!ready.ok) {
    return ready;
  }

  if (ready.value !== undefined) {
    return failed(ready.value);
  }

  const unlocked = await beginKeyring(keeper, plan, beginnings, incoming);
  if (!unlocked.ok) {
    return unlocked;
  }

  return (await handOver(keeper, shell)) ? daemon : failed({kind: 'helper', helper: 'keeper', reason: 'it has ended'});
}

/** The shell has its session when it has read the last byte. Until then a failure ends it, as `--stop` would: if the shell has ended, its keeper is at it, too. */
async function handToShell({directory}: Plan, changes: readonly Change[], {options, caller, incoming, shell}: Circumstances): Promise<number> {
  const code = openingCode(options.syntax, changes, FRAME, directory);
  const interruption = incoming.interruption();
  if (interruption === undefined && print(code)) {
    await sweepBeside(directory, caller);
    return 0;
  }

  const failure: Failure = interruption === undefined
    ? {kind: 'shell', problem: `telling process ${shell.pid} its variables failed: it does not read them`}
    : {kind: 'interrupted', signal: interruption};
  const session = await sessionOf(shell, options.runtimeBase, caller);
  await (session && endOwned(session));
  return report(failure);
}

/** As beside a run, and at home too: what dead sessions have left. The shell waits for a glance only. */
async function sweepBeside(directory: string, caller: Caller): Promise<void> {
  const bases = await answering(sweptBases(caller.environment, dirname(dirname(directory))));
  if (mayHaveNeighbours(bases, directory)) {
    startSweeper(bases, directory, caller);
  }
}

async function takeDown({keeper, ending}: Beginnings): Promise<void> {
  if (ending !== undefined) {
    (await endSession(ending)).forEach(warn);
  }

  if (keeper !== undefined) {
    dismissKeeper(keeper);
    await keeperEnd(keeper);
  }
}
