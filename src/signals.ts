/**
 * Signals: listened to before the first side effect, and forwarded to the command exactly once.
 *
 * Not forwarded are those that the kernel raises against the process itself (ILL TRAP ABRT BUS FPE SEGV SYS PIPE XFSZ PROF
 * TTIN TTOU) and CHLD; KILL, STOP and the real-time signals nobody can listen to in Node.
 */

import {now} from './clock.js';
import type {Command} from './command.js';
import {explain} from './log.js';
import {sharesGroup, signalProcess, statusOf, waitUntil} from './processes.js';
import type {Sentinel} from './sentinel.js';
import {signalNumber} from './signal-numbers.js';

const FORWARDED = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGCONT', 'SIGWINCH', 'SIGTSTP', 'SIGXCPU',
  'SIGURG', 'SIGIO', 'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

/** By default a process takes no notice of these; before there is a command, so do we. */
const HARMLESS: ReadonlySet<NodeJS.Signals> = new Set(['SIGCONT', 'SIGWINCH', 'SIGURG']);

/** The first of these starts the clock of --kill-after. */
const ENDING: ReadonlySet<NodeJS.Signals> = new Set(['SIGTERM', 'SIGINT', 'SIGHUP']);

/** Milliseconds in which a sender that goes from pid to pid may reach the sentinel after us; more than a busy core's time slice. */
const GATHERING_TIME = 20;

/** Milliseconds for the command to stop after a TSTP, on a busy node too. */
const STOP_TIME = 1000;

export interface Signals {
  /** Signals that the caller ignores, by number: they end nothing. */
  setIgnored(numbers: readonly number[]): void;
  /** The first signal that came before there was a command, and that would have ended one. */
  readonly interrupted: Promise<NodeJS.Signals>;
  readonly interruption: () => NodeJS.Signals | undefined;
  /** From now on they go to the command. @returns once it is released */
  forwardTo(target: ForwardingTarget): Promise<void>;
  /** From now on they do nothing. */
  stopForwarding(): void;
  /** From now on they end this process as they end any; but for those that the caller ignores, and USR1, which would open Node's debugger. */
  stopListening(): void;
}

export interface ForwardingTarget {
  readonly command: Command;
  /** Hears what our process group hears. */
  readonly group: Sentinel;
  /** Hears what our tree hears; there is one once the command has left our group. */
  readonly tree: () => Sentinel | undefined;
  /** Called once, at the first signal that asks for the end. */
  readonly onEnding: () => void;
}

export function listenForSignals(): Signals {
  let ignored: readonly number[] = [];
  let interruption: NodeJS.Signals | undefined;
  let interrupt: (signal: NodeJS.Signals) => void;
  const interrupted = new Promise<NodeJS.Signals>(resolve => (interrupt = resolve));

  let handle = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGTSTP') {
      process.kill(process.pid, 'SIGSTOP');
    } else if (!HARMLESS.has(signal) && !ignored.includes(signalNumber(signal))) {
      interruption ??= signal;
      interrupt(signal);
    }
  };

  for (const signal of FORWARDED) {
    process.on(signal, () => handle(signal));
  }

  return {
    setIgnored: numbers => (ignored = numbers),
    interrupted,
    interruption: () => interruption,
    async forwardTo(target) {
      const {forward, released} = forwarder(target, ignored);
      handle = forward;
      await released;
    },
    stopForwarding: () => (handle = () => {}),
    stopListening: () => FORWARDED.filter(signal => signal !== 'SIGUSR1' && !ignored.includes(signalNumber(signal))).forEach(signal => process.removeAllListeners(signal)),
  };
}

interface Receipt {
  readonly signal: NodeJS.Signals;
  readonly time: number;
  /** Why it is not to be forwarded; undefined as long as it is. */
  waiver?: string;
}

interface Forwarder {
  readonly forward: (signal: NodeJS.Signals) => void;
  readonly released: Promise<void>;
}

/** @param ignored signals that the caller ignores, by number, and with it the command */
function forwarder(target: ForwardingTarget, ignored: readonly number[]): Forwarder {
  const pending = new Set<Receipt>();
  let ending = false;
  /** When the last CONT came, by the clock. */
  let continued = -Infinity;
  // What we receive now may have been sent before the command was there to get it, whatever the sentinel has heard.
  let fresh = true;
  const released = allReceived().then(() => {
    fresh = false;
    target.command.release();
  });

  const settle = async ({signal, time, waiver}: Receipt): Promise<void> => {
    if (waiver === undefined) {
      target.command.signal(signal);
    }

    explain(`${signal} ${waiver ?? 'forwarded to the command'}`);
    if (signal === 'SIGTSTP') {
      await stopWithCommand(target.command, () => continued >= time);
    }
  };

  const pendingOf = (signal: NodeJS.Signals): readonly Receipt[] => [...pending].filter(receipt => receipt.signal === signal);
  const enquire = async (receipt: Receipt): Promise<void> => {
    const {signal, time} = receipt;
    await new Promise(resolve => setTimeout(resolve, GATHERING_TIME));
    // It is asked in any case: its answer uses up what it has heard. Two that it has heard as one are one event, and it may have
    // been quicker than we to hear the second.
    const heard = await isDelivered(target, signal, time);
    await allReceived();
    if (heard) {
      pendingOf(signal).forEach(alike => (alike.waiver = 'reached the command by itself'));
    }

    pending.delete(receipt);
    await settle(receipt);
  };

  const forward = (signal: NodeJS.Signals): void => {
    if (ENDING.has(signal) && !ignored.includes(signalNumber(signal)) && !ending) {
      ending = true;
      target.onEnding();
    }

    const receipt: Receipt = {signal, time: now()};
    if (signal === 'SIGCONT') {
      continued = receipt.time;
      // As the kernel does with one that is pending, the sentinel's too. Behind a CONT that the command has got by itself, it would stop for good.
      pendingOf('SIGTSTP').forEach(earlier => (earlier.waiver = 'was taken back by SIGCONT'));
    }

    if (fresh) {
      void settle(receipt);
      return;
    }

    pending.add(receipt);
    void enquire(receipt);
  };
  return {forward, released};
}

/** Two turns of the event loop take in every signal that is pending now. */
async function allReceived(): Promise<void> {
  return new Promise(resolve => setImmediate(() => setImmediate(resolve)));
}

/** A command in a process group of its own does not get what our group gets. */
async function isDelivered({command, group, tree}: ForwardingTarget, signal: NodeJS.Signals, received: number): Promise<boolean> {
  const sentinel = sharesGroup(command.process.pid) ? group : tree();
  return (await sentinel?.hasHeard(signal, received)) ?? false;
}

/**
 * Stops us too, so that a shell sees its job stopped; but only behind a command that has stopped. One that handles TSTP, or
 * sits in an orphaned process group, runs on, and would hang under a stopped jobbus-run. Nor may one that has a CONT to forward stop.
 */
async function stopWithCommand(command: Command, isContinued: () => boolean): Promise<void> {
  if (!(await waitUntil(() => isContinued() || statusOf(command.process.pid)?.state === 'T', STOP_TIME))) {
    explain('the command runs on after SIGTSTP, and so does jobbus-run');
    return;
  }

  const ourselves = statusOf(process.pid)!;
  await allReceived();
  if (!isContinued()) {
    signalProcess(ourselves, 'SIGSTOP');
  }
}
