/**
 * What root hands on of what its child says. The child runs as the user, who can stop it, take its output (pidfd_getfd(2)) and write there
 * for as long as he likes: so nothing but lines of our own form goes on, printable, and a bounded number of them.
 */

import {printable} from '../cli/log.js';
import {close, readAvailable} from '../system/descriptors.js';
import {onReadable} from '../system/loop.js';

/** Characters; what is longer is cut. */
const LONGEST_LINE = 500;

const MOST_LINES = 300;

/** Characters that are read at all: what is not of our form costs, too. */
const MOST_READ = 500_000;

export interface Relay {
  /** Set when nobody is left to say anything, or too much has been said. */
  readonly ended: Promise<void>;
  /** Whether something has been left out. */
  readonly isPartial: () => boolean;
}

/**
 * Takes the descriptor over.
 *
 * @param show called with each line of our form, printable and without its end
 */
export function relayLines(descriptor: number, isOurs: (line: string) => boolean, show: (line: string) => void): Relay {
  const decoder = new TextDecoder('utf-8', {ignoreBOM: true});
  let read = 0;
  let shown = 0;
  let rest = '';
  let isPartial = false;
  const endLine = (line: string): void => {
    const text = line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
    if (shown === MOST_LINES || !isOurs(text)) {
      isPartial = true;
      return;
    }

    shown++;
    show(printable(text));
  };
  const take = (text: string): void => {
    read += text.length;
    const lines = (rest + text).split('\n');
    rest = lines.pop()!.slice(0, LONGEST_LINE + 1);
    lines.forEach(endLine);
  };
  const ended = new Promise<void>(resolve => {
    const stop = onReadable(descriptor, () => {
      const bytes = readAvailable(descriptor);
      const isOver = !Buffer.isBuffer(bytes) || bytes.length === 0;
      if (!isOver) {
        take(decoder.decode(bytes, {stream: true}));
      } else if (rest !== '') {
        endLine(rest);
      }

      isPartial ||= read > MOST_READ;
      if (isOver || read > MOST_READ) {
        stop();
        close(descriptor); // Who goes on writing is told so by the kernel.
        resolve();
      }
    });
  });
  return {ended, isPartial: () => isPartial};
}
