/**
 * What jobbus-run says, on stderr, one line each.
 *
 * Written with writeSync: opening process.stderr sets a pipe or socket non-blocking for everybody who shares it, and puts a
 * newly opened one in the place of a terminal. On Bun, to define it anew would be to open it.
 */

import {constants, openSync, writeSync} from 'node:fs';
import {now} from '../system/clock.js';
import {isTerminal, SURE_SIZE, takesWithin} from '../system/descriptors.js';
import {ETIMEDOUT, systemError} from '../system/errno.js';
import {ifPossible} from '../system/if-possible.js';
import {systemReason} from './failure.js';

interface Log {
  verbose: boolean;
  /** Our number, where there are other tasks. */
  task?: string | undefined;
  /** Why stdout has not taken all that was printed. */
  unprinted?: string | undefined;
}

/** What is said. */
export const log: Log = {verbose: false};

const STDOUT = 1;
const STDERR = 2;

export function warn(message: string): void {
  write(stderr(), `jobbus-run${log.task === undefined ? '' : `[${log.task}]`}: ${printable(message)}\n`);
}

/** A step of the run, for --verbose. */
export function explain(message: string): void {
  if (log.verbose) {
    warn(message);
  }
}

/** What a terminal would act on, or take for the end of a line: control characters, those that turn the direction of writing, and the like. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '?');
}

/** What {@link printable} would replace, JSON can escape, and so it stays what it is. */
export function printableJson(value: unknown): string {
  const escaped = (character: string): string => character.replace(/[^]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return JSON.stringify(value, undefined, 2).replace(UNPRINTABLE, character => (character === '\n' ? character : escaped(character)));
}

/** What was asked for, on stdout: help, version, listings, a shell's code. @returns false when nobody has taken it */
export function print(text: string | Buffer): boolean {
  const problem = write(STDOUT, text);
  // A reader that has read enough, as head(1), misses nothing.
  log.unprinted ??= problem === undefined || problem.code === 'EPIPE' ? undefined : systemReason(problem);
  return problem === undefined;
}

/**
 * Who asked for what is on stdout waits for its reader, as with any program. What goes to stderr must not hold us up: somebody who reads no
 * more would keep us from signals, and from the end.
 *
 * @returns why not all could be written
 */
function write(target: number, text: string | Buffer): NodeJS.ErrnoException | undefined {
  const bytes = Buffer.from(text);
  const end = now() + patience;
  let mayWait = target === STDOUT;
  for (let written = 0; written < bytes.length;) {
    if (!mayWait && !takesWithin(patience, target)) {
      return giveUp();
    }

    try {
      written += writeSync(target, bytes, written, Math.min(SURE_SIZE, bytes.length - written));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        return error as NodeJS.ErrnoException;
      }

      // A terminal may have room, and too little for a line break, which is two bytes there.
      if (!mayWait && now() > end) {
        return giveUp();
      }

      mayWait = false;
    }
  }

  return undefined;
}

let opened: number | undefined;

/** A terminal may have less room than poll(2) promises of a pipe; opened anew, it lets nobody wait, and is as before for all others. */
function stderr(): number {
  const anew = (): number => openSync(`/proc/self/fd/${STDERR}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  opened ??= (isTerminal(STDERR) ? ifPossible(anew) : undefined) ?? STDERR;
  return opened;
}

/** Once for all. */
function giveUp(): NodeJS.ErrnoException {
  patience = 0;
  return systemError(ETIMEDOUT);
}

/** Milliseconds that a reader gets to make room. */
let patience = 1000;
