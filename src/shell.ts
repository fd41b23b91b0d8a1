/**
 * `--sh-syntax` and its like: a session for the shell that evaluates what is printed; and `--stop`, its end.
 *
 * It is set up as a run is, but for the command, and then left to keeper and daemon: no Node stays. The shell owns it, which its
 * record says, and the keeper sees the shell's end. A bundle of its own: no run needs it.
 */

import {daemonFailure, daemonMarks, handOver, releaseKeeper, type Daemon, type Keeper} from './bus.js';
import {ancestors, findCallingShell, type CallingShell} from './calling-shell.js';
import {mayHaveNeighbours, sweptBases, type Candidate} from './candidates.js';
import {basename, dirname} from './directory.js';
import {environmentChanges, sessionVariables, undoing, type Change} from './environment.js';
import {failed, success, type Result} from './failure.js';
import {startHelper} from './helper.js';
import type {Caller} from './inherited.js';
import type {Lock} from './lock.js';
import {explain, log, print, warn} from './log.js';
import type {ShellOptions, StopOptions, Syntax} from './options.js';
import {isHelperIn, readProc, signalProcess, statusOf, waitUntil, waitUntilGone, type Process} from './processes.js';
import {newRecord, whereabouts, writeRecord, type SessionRecord, type ShellPart} from './record.js';
import {beginDaemon, beginSession, inFirstPlace, placeProblem, planSession, report, unlessInterrupted, type Beginnings, type Plan} from './run.js';
import {findSessions, isSessionPath, type FoundSession} from './sessions.js';
import {changingCode, hookCode, isSayable} from './shell-syntax.js';
import type {Signals} from './signals.js';
import {endLiveSession} from './sweep.js';
import {endSession} from './teardown.js';

/** How people write it. */
const FORMS: Readonly<Record<Syntax, (option: string) => string>> = {
  sh: option => `eval "$(jobbus-run ${option})"`,
  csh: option => `eval \`jobbus-run ${option}\``,
  fish: option => `jobbus-run ${option} | source`,
};

/** Of a value that the record keeps for the end, as JSON has it. */
const LONGEST_VALUE = 4096;

const KEEPER_STOP_TIME = 1500;

/** What has been made so far, for the case that it must be taken away. */
interface Holdings extends Beginnings {
  /** The keeper, once it watches the shell. */
  watcher?: Process;
}

/** @returns the exit status */
export async function openSession(options: ShellOptions, caller: Caller, signals: Signals): Promise<number> {
  log.verbose = options.verbose;
  const shell = findCallingShell();
  if (shell === undefined) {
    return report({kind: 'shell', problem: `looking for the calling shell failed: none reads what is printed; write ${FORMS[options.syntax](`--${options.syntax}-syntax`)}`});
  }

  const present = sessionOf(shell, options, caller);
  if (present !== undefined) {
    warn(`process ${shell.pid} has a session already, ${present.directory}; nothing was changed; ${FORMS[options.syntax]('--stop')} ends it`);
    return 0;
  }

  if (shell.isSubshell) {
    warn(`process ${shell.pid} is a subshell, and the session ends with it; for the whole shell, evaluate this outside of parentheses, pipes and substitutions`);
  }

  return inFirstPlace(options, caller, async (candidate, name, lock) => tryCandidate(candidate, name, {options, caller, signals, shell, lock}));
}

interface Circumstances {
  readonly options: ShellOptions;
  readonly caller: Caller;
  readonly signals: Signals;
  readonly shell: CallingShell;
  readonly lock: Lock;
}

async function tryCandidate(candidate: Candidate, name: string, circumstances: Circumstances): Promise<number | string> {
  const plan = planSession(candidate, name, circumstances.options, circumstances.caller);
  if (!plan.ok) {
    return report(plan.failure);
  }

  const holdings: Holdings = {};
  const served = await serve(plan.value, circumstances, holdings);
  if (served.ok) {
    return 0;
  }

  const status = (await placeProblem(served.failure, candidate, plan.value)) ?? report(served.failure);
  await takeDown(holdings);
  return status;
}

/** The shell has its session when it has read the last byte; until then, whatever fails is taken away. */
async function serve(plan: Plan, circumstances: Circumstances, holdings: Holdings): Promise<Result<undefined>> {
  const {options, caller, signals, shell} = circumstances;
  const changes = environmentChanges(caller.environment, sessionVariables(plan.directory, plan.bus.address, options.busOnly));
  const problem = changesProblem(changes, options.syntax);
  if (problem !== undefined) {
    return failed({kind: 'shell', problem});
  }

  const made = await makeSession(plan, circumstances, holdings);
  if (!made.ok) {
    return made;
  }

  const {keeper, record} = made.value;
  const daemon = await startBus(keeper, circumstances, holdings);
  if (!daemon.ok) {
    return daemon;
  }

  const watcher = await handOver(keeper, shell);
  if (watcher === undefined) {
    return failed({kind: 'helper', helper: 'keeper', reason: 'it has ended'});
  }

  holdings.watcher = watcher;
  const shellPart: ShellPart = {syntax: options.syntax, keeper: watcher, changes};
  const {pid, startTime} = shell;
  const recorded = writeRecord(plan.directory, {...record, owner: {pid, startTime}, daemon: daemon.value.process, shell: shellPart});
  if (!recorded.ok) {
    return recorded;
  }

  explain(`process ${watcher.pid}, the keeper, watches process ${pid}: ${shell.words.join(' ')}`);
  const hook = hookCode(options.syntax, {launcher: caller.launcher, node: process.execPath, directory: plan.directory});
  const interruption = signals.interruption();
  if (interruption === undefined && print(Buffer.concat([changingCode(options.syntax, changes), hook]))) {
    await sweepBeside(plan.directory, caller);
    return success(undefined);
  }

  // The session is the shell's by now. If the shell has ended, the keeper is at it, and the two of us must not be.
  delete holdings.keeper;
  delete holdings.ending;
  delete holdings.watcher;
  const session = sessionOf(shell, options, caller);
  await (session && endOwned(session));
  return interruption === undefined
    ? failed({kind: 'shell', problem: `telling process ${pid} its variables failed: it does not read them`})
    : failed({kind: 'interrupted', signal: interruption});
}

/** As beside a run, and at home too: sweeps what dead sessions have left, where there may be any. The shell waits for a glance only. */
async function sweepBeside(directory: string, caller: Caller): Promise<void> {
  const base = dirname(dirname(directory));
  if (mayHaveNeighbours(sweptBases(caller.environment, base), directory)) {
    await startHelper({
      name: 'sweeper',
      script: 'JOBBUS_NODE=$1 exec "$2" --runtime-base "$3" --sweep',
      words: [process.execPath, caller.launcher, base],
      environment: caller.environment,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore'],
      shielded: caller.shielded,
    });
  }
}

function changesProblem(changes: readonly Change[], syntax: Syntax): string | undefined {
  const long = changes.find(({from}) => JSON.stringify(from).length > LONGEST_VALUE);
  if (long !== undefined) {
    return `remembering ${long.name} failed: its value has more than ${LONGEST_VALUE} characters; unset it first`;
  }

  const unsayable = changes.find(({to}) => !isSayable(syntax, to));
  return unsayable && `setting ${unsayable.name} failed: its value has a line break, which ${syntax} cannot be told; name another place with --runtime-base`;
}

/** At first the record names this process: killed before the shell has its variables, it leaves a dead session. */
async function makeSession(
  plan: Plan,
  {options, caller, shell, lock}: Circumstances,
  holdings: Holdings,
): Promise<Result<{keeper: Keeper; record: SessionRecord}>> {
  const keeper = await beginSession(plan, options, caller, holdings, lock);
  if (!keeper.ok) {
    return keeper;
  }

  const {name, directory, job, bus: {address}} = plan;
  const {stopTimeout, keep} = options;
  const record = newRecord({name, address, daemon: undefined, job, stopTimeout, keep}, shell.words, caller.environment);
  const recorded = writeRecord(directory, record);
  return recorded.ok ? success({keeper: keeper.value, record}) : recorded;
}

async function startBus(keeper: Keeper, {signals}: Circumstances, holdings: Holdings): Promise<Result<Daemon>> {
  const daemon = await beginDaemon(keeper, holdings);
  if (!daemon.ok) {
    return daemon;
  }

  const ready = await unlessInterrupted(daemonFailure(keeper, daemon.value), signals);
  if (!ready.ok) {
    return ready;
  }

  return ready.value === undefined ? daemon : failed(ready.value);
}

async function takeDown({keeper, ending, watcher}: Holdings): Promise<void> {
  if (ending !== undefined) {
    (await endSession(ending)).forEach(warn);
  }

  if (watcher !== undefined) {
    await endKeeper(watcher);
  } else if (keeper !== undefined) {
    await releaseKeeper(keeper);
  }
}

/** `--stop`. @returns the exit status, once all of the session is gone */
export async function stopSession(options: StopOptions, caller: Caller): Promise<number> {
  log.verbose = options.verbose;
  const shell = findCallingShell();
  if (shell === undefined) {
    return report({kind: 'shell', problem: `looking for the calling shell failed: none reads what is printed; write ${FORMS.sh('--stop')}`});
  }

  const session = sessionOf(shell, options, caller);
  const ended = session && (await endOwned(session));
  return ended === undefined
    ? report({kind: 'shell', problem: `ending the session of process ${shell.pid} failed: it has none; see jobbus-run --list`})
    : restore(ended, caller);
}

/** @returns undefined when another process was faster */
async function endOwned(session: FoundSession): Promise<ShellPart | undefined> {
  const {address, shell} = session.record!;
  // The shell waits for us; and one that was executed in the place of another bears the marks of its own session.
  const remains = await endLiveSession(session, ancestors());
  if (remains === undefined) {
    return undefined;
  }

  remains.forEach(warn);
  if (isHelperIn(daemonMarks(session.directory, address), shell!.keeper)) {
    await endKeeper(shell!.keeper);
  }

  return shell;
}

function restore({syntax, changes}: ShellPart, caller: Caller): number {
  const restored = undoing(changes, caller.environment);
  for (const {name} of restored.filter(({to}) => !isSayable(syntax, to))) {
    warn(`restoring ${name} failed: its value has a line break, which ${syntax} cannot be told; it is unset`);
  }

  print(changingCode(syntax, restored.map(change => (isSayable(syntax, change.to) ? change : {...change, to: null}))));
  return 0;
}

/** The live session that the shell owns, and that nobody is ending yet. */
function sessionOf(shell: CallingShell, {runtimeBase}: {readonly runtimeBase: string | undefined}, {environment}: Caller): FoundSession | undefined {
  const {pidNamespace} = whereabouts();
  return findSessions([...sweptBases(environment, runtimeBase), ...mentionedBases(environment)]).find(({directory, name, state, record}) =>
    state === 'live' && basename(directory) === name && record?.shell !== undefined && record.pidNamespace === pidNamespace
    && record.owner.pid === shell.pid && record.owner.startTime === shell.startTime);
}

/** Of the session whose variables the shell has: it may be where no other run would look. */
function mentionedBases({XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS}: Readonly<Record<string, string>>): string[] {
  const socket = /^unix:path=([^,;]*)\/bus(?:[,;]|$)/.exec(DBUS_SESSION_BUS_ADDRESS ?? '')?.[1];
  const unescaped = socket?.replace(/%([\da-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  const bus = unescaped && Buffer.from(unescaped, 'latin1').toString();
  return [XDG_RUNTIME_DIR, bus].filter(path => path !== undefined && isSessionPath(path)).map(path => dirname(dirname(path!)));
}

/** Stopped first, so that it starts no other sleep than the one that ends with it. */
async function endKeeper(keeper: Process): Promise<void> {
  signalProcess(keeper, 'SIGSTOP');
  await waitUntil(() => statusOf(keeper.pid)?.state === 'T', KEEPER_STOP_TIME);
  const children = readProc(`/proc/${keeper.pid}/task/${keeper.pid}/children`)?.toString().split(' ').filter(Boolean) ?? [];
  for (const target of [...children.map(pid => statusOf(Number(pid))), keeper]) {
    if (target !== undefined) {
      signalProcess(target, 'SIGKILL');
      await waitUntilGone(target, KEEPER_STOP_TIME);
    }
  }
}
