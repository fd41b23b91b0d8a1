/** Lines that come down a pipe or a socket, one at a time, for who waits for them. */

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
  let waiting: ((line: Line) => void) | undefined;

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
  };
  const give = (): void => {
    const line = waiting === undefined ? undefined : take();
    if (line !== undefined) {
      const resolve = waiting!;
      waiting = undefined;
      resolve(line);
    }
  };

  const stop = onReadable(descriptor, () => {
    const bytes = readAvailable(descriptor);
    if (Buffer.isBuffer(bytes) && bytes.length > 0) {
      received += bytes.toString();
    } else if (bytes !== undefined) {
      end();
    }

    give();
  });

  return {
    async next(time) {
      return new Promise(resolve => {
        const stopTimer = time === undefined ? undefined : after(time, () => {
          waiting = undefined;
          resolve({kind: 'timeout'});
        });
        waiting = line => {
          stopTimer?.();
          resolve(line);
        };
        give();
      });
    },
    close() {
      end();
      give();
    },
  };
}
