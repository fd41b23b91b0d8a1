/** Several pipes at a time: all of them, or none. */

import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {close, openPipe, type Pipe} from './descriptors.js';
import {systemError} from './errno.js';

/**
 * @param user who is to be started with them, for the message
 * @param ours the ends that we keep, one for each pipe
 * @returns the pipes, or a failure of kind `helper`
 */
export function openPipes<const Ends extends ReadonlyArray<keyof Pipe>>(user: string, ours: Ends): Result<{readonly [Index in keyof Ends]: Pipe}> {
  const pipes: Pipe[] = [];
  for (const end of ours) {
    const pipe = openPipe(end);
    if (typeof pipe === 'number') {
      closePipes(pipes);
      return failed({kind: 'helper', helper: user, reason: systemReason(systemError(-pipe))});
    }

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
