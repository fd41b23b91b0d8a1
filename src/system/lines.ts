/** Lines that come down a pipe or a socket, one at a time, for who waits for them. */

import {now} from './clock.js';
import {close, readAvailable} from './descriptors.js';
import {after, onReadable} from './loop.js';

export type Line = {readonly kind: 'line'; readonly text: string} | {readonly kind: 'end' | 'timeout'};

export interface Lines {
  /** The next line, as soon as it is whole; of one that is too long, what fits. @param time milliseconds; undefined: however long it takes */
  next(time?: number): Promise<Line>;
  close(): void;
}

const LONGEST_LINE = 4096;

/** Takes the descriptor over. */
export function readLines(descriptor: number): Lines {
  let received = '';
  let ended = false;
  let wake = (): void => {};

  const take = (): Line | undefined => {
    const [line = '', ...rest] = received.split('\n');
    if (rest.length === 0 && line.length < LONGEST_LINE) {
      return ended ? {kind: 'end'} : undefined;
    }

    received = rest.length === 0 ? '' : rest.join('\n');
    return {kind: 'line', text: line};
  };
  const end = (): void => {
    if (!ended) {
      ended = true;
      stop();
      close(descriptor);
    }

    wake();
  };
  const stop = onReadable(descriptor, () => {
    const bytes = readAvailable(descriptor);
    if (Buffer.isBuffer(bytes) && bytes.length > 0) {
      received += bytes.toString();
      wake();
    } else if (bytes !== undefined) {
      end();
    }
  });

  return {
    async next(time = Infinity) {
      const deadline = now() + time;
      const stopTimer = after(time, () => wake());
      let line = take();
      while (line === undefined && now() < deadline) {
        await new Promise<void>(resolve => (wake = resolve));
        line = take();
      }

      stopTimer();
      return line ?? {kind: 'timeout'};
    },
    close: end,
  };
}
