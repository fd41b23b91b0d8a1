/** From the command's start to the end of all that is waited for: what it gets of our signals, and what we do as it stops. */

import {signalStatus, success, type Result} from '../cli/failure.js';
import {explain, warn} from '../cli/log.js';
import type {RunOptions} from '../cli/options.js';
import {sharesGroup} from '../system/processes.js';
import {stopLike, type Incoming, type Receipt} from '../session/incoming.js';
import {sleepLike, type Daemon, type Keeper} from '../session/keeper.js';
import {onChange, type Change} from '../system/children.js';
import {after, next} from '../system/loop.js';
import {isIn, send, SIGNALS} from '../system/signals.js';
import {audienceOf, type Audience, type Course} from './audience.js';
import type {Gate} from './command.js';
import {deliver, forwarder, isTranslated, useUp, type Forwarder, type Place, type Sentinels} from './forwarding.js';
import {tellOfLeftovers} from './leftovers.js';
import {awaitRequest, type Request} from './request.js';
import {startSentinel, type Sentinel} from './sentinel.js';
import type {Tree} from './tree.js';

/** How a run has ended. */
export interface Outcome {
  readonly status: number;
  /** The signal of a terminal's key of which the command has died: who has called us is to see us die of it, too. */
  readonly keyed?: number | undefined;
}

interface Circumstances {
  readonly gate: Gate;
  /** Its name, for people. */
  readonly command: string;
  readonly tree: Tree;
  readonly keeper: Keeper;
  readonly daemon: Daemon;
  readonly sentinel: Sentinel;
  /** All that are to be ended. */
  readonly sentinels: Sentinel[];
  readonly options: Pick<RunOptions, 'killAfter' | 'signalAll' | 'wait'>;
  /** A mask of what the caller ignores. */
  readonly ignored: bigint;
  readonly incoming: Incoming;
  /** Pids of the bus's own services. */
  readonly services: () => Promise<ReadonlySet<number>>;
}

/** Milliseconds after its start at which we look whether the command has left our process group; a shell does so at once. */
const GROUP_CHECKS = [50, 250, 1000];

/** @returns how the run will end, once the command runs; or why it does not */
export async function attend(circumstances: Circumstances): Promise<Result<Promise<Outcome>>> {
  const {gate, command, tree, keeper, daemon, options, ignored, incoming} = circumstances;
  const {pid} = gate.process;
  const course: Course = {phase: 'running'};
  const ended = follow(pid, course, keeper, options);
  incoming.keepFrom(daemon.keeper.pid);
  const request = awaitRequest(options.killAfter, ignored);
  const audience = audienceOf(gate.process, tree, course, options);
  const sentinels = new Map<Place, Sentinel>([['group', circumstances.sentinel]]);
  const listenInTree = (reason: string): void => {
    const started = sentinels.has('tree') ? undefined : startSentinel('tree');
    if (started?.ok === true) {
      sentinels.set('tree', started.value);
      circumstances.sentinels.push(started.value);
      explain(`${reason}: a second sentinel listens in our tree`);
    }
  };
  if (options.signalAll || options.wait) {
    listenInTree('signals may go to the whole tree');
  }

  const {settled} = await open({gate, sentinels, incoming, request, audience});
  const released = await gate.release();
  if (!released.ok) {
    return released;
  }

  explain(`started ${command} as process ${pid}`);
  // Behind the command's end, its pid is nobody's.
  const whileRunning = (action: () => void) => (): void => (course.phase === 'running' ? action() : undefined);
  GROUP_CHECKS.forEach(time => after(time, whileRunning(() => sharesGroup(pid) || listenInTree(`process ${pid} has a process group of its own`))));
  void request.overdue.then(whileRunning(() => {
    explain(`killing ${command}, process ${pid}: it has not ended after the signal that asked for it`);
    send(pid, SIGNALS.KILL);
  }));
  void daemon.died.then(() => course.phase === 'over' || warn('the dbus-daemon of this session has died; the command goes on without a bus'));
  return success(ended.then(async change => conclude(change, {...circumstances, course, request, audience, settled})));
}

/** @returns how the command ends; from then on its pid is nobody's */
async function follow(pid: number, course: Course, keeper: Keeper, {signalAll, wait}: Pick<RunOptions, 'signalAll' | 'wait'>): Promise<Change> {
  return new Promise(resolve => onChange(pid, change => {
    if (change.kind === 'stopped') {
      sleepLike(keeper, pid, () => stopLike(SIGNALS.TSTP));
    } else if (change.kind !== 'continued') {
      course.phase = signalAll || wait ? 'left' : 'over';
      resolve(change);
    }
  }));
}

interface Conclusion extends Pick<Circumstances, 'command' | 'tree' | 'options' | 'services'> {
  readonly course: Course;
  readonly request: Request;
  readonly audience: Audience;
  readonly settled: Forwarder['settled'];
}

async function conclude(change: Change, {command, tree, options, services, course, request, audience, settled}: Conclusion): Promise<Outcome> {
  const status = statusOf(change);
  explain(`${command} ended with status ${status}`);
  if (options.wait) {
    explain(`waiting for what it has left: ${tree.members().map(({pid, name}) => `${name}, process ${pid}`).join('; ') || 'nothing'}`);
    audience.passOn();
    await Promise.race([tree.emptied(), request.overdue]);
  } else if (options.signalAll && tree.members().length > 0) {
    await settled();
  }

  course.phase = 'over';
  if (status === 0 && !options.wait) {
    await tellOfLeftovers(command, tree, request, services);
  }

  return {status, keyed: change.kind === 'killed' && request.isKeyed(change.signal) ? change.signal : undefined};
}

function statusOf(change: Change): number {
  return change.kind === 'exited' ? change.status : signalStatus((change as {signal: number}).signal);
}

interface Opening extends Pick<Circumstances, 'gate' | 'incoming'> {
  readonly sentinels: Sentinels;
  readonly request: Request;
  readonly audience: Audience;
}

/**
 * What we receive now may have been sent before the command's process was there to get it, whatever a sentinel has heard. So while gate and
 * sentinels stand still, what waits for the gate tells what the command has got.
 */
async function open({gate, sentinels, incoming, request, audience}: Opening): Promise<Forwarder> {
  const early: Receipt[] = [];
  incoming.forwardTo(receipt => early.push(receipt));
  const listening = [...sentinels.values()];
  await Promise.all(listening.map(async sentinel => sentinel.ask()));
  listening.forEach(({heard}) => heard.splice(0));
  await new Promise<void>(next);
  const pending = gate.pending();
  const forwarding = forwarder({...audience, command: gate.process.pid, sentinels});
  for (const receipt of early) {
    request.note(receipt);
    if (!isTranslated(receipt) && isIn(pending, receipt.signal.number)) {
      listening.forEach(({heard}) => useUp(heard, receipt));
    } else {
      deliver(gate.process.pid, receipt.signal);
    }

    audience.onSettled(receipt.signal, [gate.process]);
  }

  incoming.forwardTo(receipt => {
    request.note(receipt);
    forwarding.forward(receipt);
  });
  return forwarding;
}
