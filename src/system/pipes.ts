/** Several pipes at a time: all of them, or none. All close on exec. */

import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {close} from './descriptors.js';
import {systemError} from './errno.js';
import {call} from './libc.js';

export interface Pipe {
  readonly reader: number;
  readonly writer: number;
}

/** fcntl.h */
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;

/**
 * @param user who is to be started with them, for the message
 * @param ours the ends that we keep, one for each pipe, at which we never wait; the others are another's, who may
 * @returns the pipes, or a failure of kind `helper`
 */
export function openPipes<const Ends extends ReadonlyArray<keyof Pipe>>(user: string, ours: Ends): Result<{readonly [Index in keyof Ends]: Pipe}> {
  const pipes: Pipe[] = [];
  for (const end of ours) {
    const ends = new Int32Array(2);
    const result = call('pipe2', ends, O_CLOEXEC);
    if (result < 0) {
      closePipes(pipes);
      return failed({kind: 'helper', helper: user, reason: systemReason(systemError(-result))});
    }

    const pipe = {reader: ends[0]!, writer: ends[1]!};
    call('fcntl', pipe[end], F_SETFL, O_NONBLOCK);
    pipes.push(pipe);
  }

  return success(pipes as unknown as {readonly [Index in keyof Ends]: Pipe});
}

export function closePipes(pipes: readonly Pipe[]): void {
  for (const {reader, writer} of pipes) {
    close(reader);
    close(writer);
  }
}
