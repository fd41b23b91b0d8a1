/** Open files by their numbers: reading, writing. All that we open closes on exec. */

import {EAGAIN} from './errno.js';
import {call} from './libc.js';

/** fcntl.h */
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

/** @returns false when it was not open; of close(2): Linux frees the number whatever it returns */
export function close(descriptor: number): boolean {
  return call('close', descriptor) === 0;
}

/** Another number for the same open file, from `lowest` up, that closes on exec. @returns it, or a negative number of errno(3) */
export function duplicate(descriptor: number, lowest: number): number {
  return call('fcntl', descriptor, F_DUPFD_CLOEXEC, lowest);
}

/** By the C library: the engine's module for terminals takes longer to load than all of ours (measured). */
export function isTerminal(descriptor: number): boolean {
  return call('isatty', descriptor) === 1;
}

/** Whether what is started from now on inherits it. */
export function setInherited(descriptor: number, inherited: boolean): void {
  call('fcntl', descriptor, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

const BUFFER = new Uint8Array(65_536);

/** @returns the bytes that are there, at most 64 kB; none at the end of the file; undefined when there is nothing yet; or a negative number of errno(3) */
export function readAvailable(descriptor: number): Buffer | number | undefined {
  const length = call('read', descriptor, BUFFER, BUFFER.length);
  if (length === -EAGAIN) {
    return undefined;
  }

  return length < 0 ? length : Buffer.from(BUFFER.subarray(0, length));
}

/** poll.h */
const POLLOUT = 4;

/** A pipe that can be written to has room for so many bytes: PIPE_BUF, of pipe(7). */
export const SURE_SIZE = 4096;

/** Waits until it can be written to. @param time milliseconds. @returns whether it can be */
export function takesWithin(time: number, descriptor: number): boolean {
  return call('poll', new Int32Array([descriptor, POLLOUT]), 1, time) > 0;
}

/** @returns how many bytes were taken; or a negative number of errno(3), EAGAIN where there is no room */
export function write(descriptor: number, bytes: Uint8Array): number {
  return call('write', descriptor, bytes, bytes.length);
}
