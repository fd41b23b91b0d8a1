/**
 * The signals that come to this process. Listened to before anything else happens.
 *
 * Until there is a command, a signal does what it would do to one: it ends the set-up, stops us, or does nothing; what the caller blocks waits
 * for the command.
 */

import {explain} from '../cli/log.js';
import type {Caller} from '../system/caller.js';
import {reap, withoutCore} from '../system/children.js';
import {now} from '../system/clock.js';
import {bitOf, HELD, isIn, listen, release, resend, send, setAction, setMask, SIGNALS, signalName, type Signal} from '../system/signals.js';

export interface Receipt {
  readonly signal: Signal;
  /** The number with which it came, where --map-signal has made it another. */
  readonly cameAs: number;
  /** By the clock of the loop, in milliseconds. */
  readonly time: number;
}

export interface Incoming {
  /** The first signal that came before there was a command, and that would have ended one: by number. */
  readonly interrupted: Promise<number>;
  readonly interruption: () => number | undefined;
  /** From now on what comes with a number that is a key counts as the other; as none, if that is 0. */
  translate(numbers: ReadonlyMap<number, number>): void;
  /** From now on signals go there; first what the caller blocks, and came before. */
  forwardTo(receive: (receipt: Receipt) => void): void;
  /** From now on what comes from there is for us alone. @param sender a pid */
  keepFrom(sender: number): void;
  /** From now on they do nothing. */
  stopForwarding(): void;
  /** From now on they do what they do to any process: for what another can go on with, wherever it hangs. */
  letGo(): void;
  /** What the caller blocks, and came before, is pending again, for what this process becomes. */
  giveBack(): void;
  /** From now on they come here again. */
  takeBack(): void;
}

/** By default a process takes no notice of these. */
const HARMLESS: readonly number[] = [SIGNALS.CHLD, SIGNALS.CONT, SIGNALS.URG, SIGNALS.WINCH];

/** By default a process stops at these. */
export const STOPPING: readonly number[] = [SIGNALS.TSTP, SIGNALS.TTIN, SIGNALS.TTOU];

export function listenForSignals({ignored, blocked}: Pick<Caller, 'ignored' | 'blocked'>): Incoming {
  const waiting: Receipt[] = [];
  // What we have caused ourselves, a PIPE of stderr or of a keeper that has ended, is not for the command, and asks for no end.
  const ours = new Set([process.pid]);
  let interruption: number | undefined;
  let interrupt: (signal: number) => void;
  const interrupted = new Promise<number>(resolve => (interrupt = resolve));

  let translation: ReadonlyMap<number, number> = new Map();
  let receive = (receipt: Receipt): void => {
    const {number} = receipt.signal;
    if (isIn(blocked, number)) {
      waiting.push(receipt);
    } else if (STOPPING.includes(number)) {
      stopLike(number);
    } else if (!HARMLESS.includes(number) && !isIn(ignored, number)) {
      interruption ??= number;
      interrupt(number);
    }
  };

  listen(signal => {
    if (signal.number === SIGNALS.CHLD && signal.code > 0) {
      reap();
    } else if (!ours.has(signal.sender)) {
      const cameAs = signal.number;
      const number = translation.get(cameAs) ?? cameAs;
      if (number === 0) {
        explain(`${signalName(cameAs)} is dropped, as --map-signal asks`);
      } else {
        receive({signal: {...signal, number}, cameAs, time: now()});
      }
    }
  });
  return {
    interrupted,
    interruption: () => interruption,
    translate: numbers => (translation = numbers),
    forwardTo(target) {
      waiting.splice(0).forEach(target);
      receive = target;
    },
    keepFrom: sender => void ours.add(sender),
    stopForwarding: () => (receive = () => {}),
    letGo: () => release(ignored, blocked | bitOf(SIGNALS.CHLD)),
    giveBack: () => waiting.splice(0).forEach(({signal}) => resend(process.pid, signal)),
    takeBack: () => setMask(HELD),
  };
}

/** As if we did not care: so that a shell sees its job stopped by this signal, and the kernel drops it in an orphaned group. @returns once we go on */
export function stopLike(number: number): void {
  setAction(number, 'default');
  send(process.pid, number);
  setMask(HELD & ~bitOf(number));
  setMask(HELD);
}

/** Dies of this signal, as who has called us is to see it; PID 1 cannot. */
export function dieLike(number: number): void {
  withoutCore();
  stopLike(number);
}
