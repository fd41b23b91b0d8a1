/** Open files by their numbers: reading, writing, pipes. All that we open closes on exec. */

import {EAGAIN} from './errno.js';
import {call} from './libc.js';

/** fcntl.h */
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

export interface Pipe {
  readonly reader: number;
  readonly writer: number;
}

/**
 * @param ours the end that we keep, at which we never wait; the other is another's, who may
 * @returns both ends; or a negative number of errno(3)
 */
export function openPipe(ours: keyof Pipe): Pipe | number {
  const ends = new Int32Array(2);
  const result = call('pipe2', ends, O_CLOEXEC);
  if (result < 0) {
    return result;
  }

  const pipe = {reader: ends[0]!, writer: ends[1]!};
  call('fcntl', pipe[ours], F_SETFL, O_NONBLOCK);
  return pipe;
}

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

/** @returns how many bytes were taken; or a negative number of errno(3), EAGAIN where there is no room */
export function write(descriptor: number, bytes: Uint8Array): number {
  return call('write', descriptor, bytes, bytes.length);
}
