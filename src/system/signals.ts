/**
 * Signals as data: all of them blocked since before this program was executed, and read from a signalfd with sender, code and value.
 *
 * Not to be had are KILL and STOP, the C library's 32 and 33, and those that tell of a fault, which a thread of the engine's takes. The engine
 * handles PROF for its collector, as the frame has told it to, and while it starts, it takes one that comes; later there is no thread to be stopped.
 */

import {close, readAvailable} from './descriptors.js';
import {systemError} from './errno.js';
import {call} from './libc.js';
import {onReadable, type Stop} from './loop.js';
import {FAULTS, LAST_SIGNAL, SIGNALS} from './signal-numbers.js';

export {signalName, SIGNALS} from './signal-numbers.js';

export interface Signal {
  readonly number: number;
  /** As si_code of sigaction(2): 0 and below from a process, above from the kernel. */
  readonly code: number;
  /** Pid of the sender, where a process has sent it; 0 where it cannot be seen from here. */
  readonly sender: number;
  /** What sigqueue(3) has sent along. */
  readonly value: bigint;
}

/** Of si_code. */
const SI_QUEUE = -1;
export const SI_KERNEL = 0x80;

/** struct signalfd_siginfo of signalfd(2). */
export const SIGINFO_SIZE = 128;

export function parseSignal(bytes: Uint8Array, offset = 0): Signal {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, SIGINFO_SIZE);
  return {number: view.getUint32(0, true), code: view.getInt32(8, true), sender: view.getUint32(12, true), value: view.getBigUint64(48, true)};
}

/** SFD_CLOEXEC | SFD_NONBLOCK */
const SIGNALFD_FLAGS = 0o2004000;

/** What is blocked for good, and read as data: all others. */
export const HELD = FAULTS.reduce((mask, number) => mask & ~bitOf(number), 0xffff_ffff_ffff_ffffn);

/** @param listener called with each signal, in the order in which the kernel gives them */
export function listen(listener: (signal: Signal) => void): Stop {
  FAULTS.forEach(number => setAction(number, 'default'));
  setMask(HELD);
  const descriptor = call('signalfd', -1, signalSet(HELD), SIGNALFD_FLAGS);
  if (descriptor < 0) {
    throw systemError(-descriptor);
  }

  const stop = onReadable(descriptor, () => {
    for (let bytes = readAvailable(descriptor); Buffer.isBuffer(bytes); bytes = readAvailable(descriptor)) {
      for (let offset = 0; offset < bytes.length; offset += SIGINFO_SIZE) {
        listener(parseSignal(bytes, offset));
      }
    }
  });
  return () => {
    stop();
    close(descriptor);
  };
}

/** sigset_t is of 1,024 bits, of which the kernel knows 64. */
function signalSet(mask: bigint): BigUint64Array {
  const set = new BigUint64Array(16);
  set[0] = mask;
  return set;
}

export function bitOf(number: number): bigint {
  return 1n << BigInt(number - 1);
}

export function isIn(mask: bigint, number: number): boolean {
  return (mask & bitOf(number)) !== 0n;
}

const SIG_SETMASK = 2;

/** Blocks these in this thread, the only one that is asked, and no others. */
export function setMask(mask: bigint): void {
  call('sigprocmask', SIG_SETMASK, signalSet(mask), null);
}

/** SIG_DFL and SIG_IGN, the rest of struct sigaction being nothing. */
export function setAction(number: number, action: 'default' | 'ignore'): void {
  const words = new BigUint64Array(20);
  words[0] = action === 'ignore' ? 1n : 0n;
  call('sigaction', number, words, null);
}

/** From now on they do what they do to any process, but for those that the caller ignores. CHLD is never ignored: who does is not told of children. */
export function release(ignored: bigint, blocked: bigint): void {
  for (let number = 1; number <= LAST_SIGNAL; number++) {
    if (number !== SIGNALS.PROF && number !== SIGNALS.CHLD) {
      setAction(number, isIn(ignored, number) ? 'ignore' : 'default');
    }
  }

  setMask(blocked);
}

/** @returns 0, or a negative number of errno(3) */
export function send(pid: number, number: number): number {
  return call('kill', pid, number);
}

/** Sends it as its sender has sent it: with a value, where there is one. @returns 0, or a negative number of errno(3) */
export function resend(pid: number, {number, code, value}: Signal): number {
  return code === SI_QUEUE ? call('sigqueue', pid, number, value) : send(pid, number);
}
