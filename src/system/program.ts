/** A program of somebody else's, run to its end or to the end of its time, and what it says. */

import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {close, readAvailable, write} from './descriptors.js';
import {onEnd} from './children.js';
import {systemError} from './errno.js';
import {after, onReadable} from './loop.js';
import {send, SIGNALS} from './signals.js';
import {spawn} from './spawn.js';
import {closePipes, openPipes} from './pipes.js';

export interface Ran {
  /** 128+n for a death by signal n; undefined: its time was over, and it was killed. */
  readonly status: number | undefined;
  readonly output: Buffer;
  readonly errors: Buffer;
}

export interface Invocation {
  readonly path: string;
  readonly words: readonly string[];
  readonly environment: ReadonlyArray<string | Uint8Array>;
  /** Milliseconds. */
  readonly time: number;
  /** Called with all that it has said on stdout so far; what it promises is written to its stdin, which then ends. */
  readonly reply?: (output: Buffer) => Promise<string> | undefined;
}

/** What nobody needs is not kept. */
const LONGEST_OUTPUT = 65_536;

/** @returns a failure of kind `helper` where it could not be started */
export async function runProgram({path, words, environment, time, reply}: Invocation): Promise<Result<Ran>> {
  const pipes = openPipes(path, ['writer', 'reader', 'reader']);
  if (!pipes.ok) {
    return pipes;
  }

  const [input, output, errors] = pipes.value;
  const pid = spawn({
    path, words: [path, ...words], environment, isForeign: true, descriptors: new Map([[0, input.reader], [1, output.writer], [2, errors.writer]]),
  });
  if (pid < 0) {
    closePipes(pipes.value);
    return failed({kind: 'helper', helper: path, reason: systemReason(systemError(-pid))});
  }

  [input.reader, output.writer, errors.writer].forEach(close);
  let isInputOpen = true;
  const endInput = (text = ''): void => {
    if (isInputOpen) {
      isInputOpen = false;
      write(input.writer, Buffer.from(text));
      close(input.writer);
    }
  };
  const allOutput = collect(output.reader, soFar => void reply?.(soFar)?.then(endInput));
  const allErrors = collect(errors.reader, () => {});
  if (reply === undefined) {
    endInput();
  }

  const status = await ended(pid, time);
  endInput();
  return success({status, output: allOutput(), errors: allErrors()});
}

/** @returns ends it, and tells all that has come */
function collect(descriptor: number, onMore: (soFar: Buffer) => void): () => Buffer {
  let received = Buffer.alloc(0);
  const take = (): boolean => {
    const bytes = readAvailable(descriptor);
    if (!Buffer.isBuffer(bytes) || bytes.length === 0) {
      return false;
    }

    received = Buffer.concat([received, bytes]).subarray(0, LONGEST_OUTPUT);
    onMore(received);
    return true;
  };
  const stop = onReadable(descriptor, () => {
    if (!take()) {
      stop();
    }
  });
  return () => {
    stop();
    while (take());
    close(descriptor);
    return received;
  };
}

async function ended(pid: number, time: number): Promise<number | undefined> {
  return new Promise(resolve => {
    const stop = after(time, () => {
      send(-pid, SIGNALS.KILL); // It has a session, and so a group, of its own.
      resolve(undefined);
    });
    onEnd(pid, end => {
      stop();
      resolve(end.kind === 'exited' ? end.status : 128 + end.signal);
    });
  });
}
