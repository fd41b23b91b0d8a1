/** What asks the command for its end, a TERM, INT or HUP, and what follows if it does not end. */

import type {Receipt} from '../session/incoming.js';
import {after} from '../system/loop.js';
import {signalMask, type Process} from '../system/processes.js';
import {isIn, SI_KERNEL, SIGNALS, type Signal} from '../system/signals.js';

export interface Request {
  /** Called with each signal as it comes. */
  readonly note: (receipt: Receipt) => void;
  readonly isMade: () => boolean;
  /** Whether this one has come from a key of a terminal. */
  readonly isKeyed: (number: number) => boolean;
  /** Set once --kill-after is over. */
  readonly overdue: Promise<void>;
}

const ASKING: readonly number[] = [SIGNALS.TERM, SIGNALS.INT, SIGNALS.HUP];

/** Keys of a terminal by which people end a program. */
const KEYED: readonly number[] = [SIGNALS.INT, SIGNALS.QUIT];

/**
 * @param killAfter milliseconds from the first such signal until the command is overdue; undefined: it never is
 * @param ignored a mask of what the caller ignores: who gets it is not asked to end
 */
export function awaitRequest(killAfter: number | undefined, ignored: bigint): Request {
  const keyed = new Set<number>();
  let isMade = false;
  let expire: () => void;
  const overdue = new Promise<void>(resolve => (expire = resolve));
  return {
    note({signal: {number, code}, cameAs}) {
      if (code === SI_KERNEL && KEYED.includes(cameAs)) {
        keyed.add(cameAs);
      }

      if (ASKING.includes(number) && !isIn(ignored, number) && !isMade) {
        isMade = true;
        if (killAfter !== undefined) {
          after(killAfter, expire);
        }
      }
    },
    isMade: () => isMade,
    isKeyed: number => keyed.has(number),
    overdue,
  };
}

export function asks({number}: Signal): boolean {
  return ASKING.includes(number);
}

/** Whether the process may end by it. A shell has its background jobs ignore INT. Who ignores TERM by now may do so because it is saving. */
export function heeds({pid}: Process, {number}: Signal): boolean {
  return number === SIGNALS.TERM || !isIn(signalMask(pid, 'SigIgn'), number);
}
