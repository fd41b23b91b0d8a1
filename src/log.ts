/**
 * What jobbus-run says, on stderr, one line each.
 *
 * Written with writeSync: opening process.stderr sets a pipe or socket non-blocking for everybody who shares it, and puts a
 * newly opened one in the place of a terminal.
 */

import {writeSync} from 'node:fs';
import {pause} from './clock.js';

// Node's sockets look at it as they close, and the first look opens it.
Object.defineProperty(process, 'stderr', {value: undefined});

/** What is said, and where to. */
export const log = {verbose: false, descriptor: 2};

export function warn(message: string): void {
  write(log.descriptor, `jobbus-run: ${printable(message)}\n`);
}

/** A step of the run, for --verbose. */
export function explain(message: string): void {
  if (log.verbose) {
    warn(message);
  }
}

/** Without what a terminal would act on, or take for the end of a line. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
}

/** What was asked for, on stdout: help, version, listings, a shell's code. @returns false when nobody has taken it */
export function print(text: string | Buffer): boolean {
  return write(1, text);
}

function write(target: number, text: string | Buffer): boolean {
  const bytes = Buffer.from(text);
  let written = 0;
  for (let attempt = 0; written < bytes.length && attempt < WRITE_ATTEMPTS; attempt++) {
    try {
      written += writeSync(target, bytes, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        return false; // Nobody reads us any more, and there is nobody left to tell.
      }

      pause();
    }
  }

  return written === bytes.length;
}

/** A reader of a non-blocking pipe gets about a second to make room before the rest is dropped. */
const WRITE_ATTEMPTS = 1000;
