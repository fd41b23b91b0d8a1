/** The values of options: whether they serve. */

import {isForwardable, signalName, signalNumber} from '../system/signal-numbers.js';
import {quote} from './failure.js';

/** Runs `set` with a value that is not empty. @returns what is wrong with it, if anything */
export function word(value: string, set: () => void): string | undefined {
  if (value === '') {
    return 'needs a value that is not empty';
  }

  set();
  return undefined;
}

/** Runs `set` with a path that means the same wherever it is used. @returns what is wrong with it, if anything */
export function absolutePath(value: string, set: () => void): string | undefined {
  if (!value.startsWith('/')) {
    return `needs an absolute path, and ${quote(value)} is not one`;
  }

  set();
  return undefined;
}

/** Longer is no time that anybody can wait for; and it can still be reckoned with. */
const LONGEST = Number.MAX_SAFE_INTEGER;

/** Runs `set` with a number of seconds. @returns what is wrong with it, if anything */
export function seconds(value: string, set: (milliseconds: number) => void): string | undefined {
  if (!/^(\d+\.?\d*|\.\d+)$/.test(value)) {
    return `needs a number of seconds, and ${quote(value)} is not one`;
  }

  set(Math.min(Math.round(Number(value) * 1000), LONGEST));
  return undefined;
}

/** Runs `set` with the map and a pair more, `FROM:TO`; 0 stands for a TO that is empty. @returns what is wrong with the value, if anything */
export function signalPair(value: string, map: ReadonlyMap<number, number>, set: (map: ReadonlyMap<number, number>) => void): string | undefined {
  const [fromWord = '', toWord, ...rest] = value.split(':');
  if (toWord === undefined || rest.length > 0) {
    return `needs two signals, FROM:TO, and ${quote(value)} is not that`;
  }

  const from = signalNumber(fromWord);
  const to = toWord === '' ? 0 : signalNumber(toWord);
  if (from === undefined || to === undefined) {
    return `knows no signal ${quote(from === undefined ? fromWord : toWord)}`;
  }

  const problem = map.has(from) ? 'is named twice' : isForwardable(from) ? undefined : 'never comes to jobbus-run';
  if (problem === undefined) {
    set(new Map([...map, [from, to]]));
  }

  return problem && `has a FROM that ${problem}: ${signalName(from)}`;
}

/** Runs `set` with the name or the number of a user. @returns what is wrong with it, if anything */
export function user(value: string, set: () => void): string | undefined {
  if (!/^[^-:\s][^:\s]*$/.test(value)) {
    return `needs a user's number or name, and ${quote(value)} is neither`;
  }

  set();
  return undefined;
}

const ANSWERS: Readonly<Record<string, boolean>> = {1: true, yes: true, true: true, on: true, '': false, 0: false, no: false, false: false, off: false};

/** Of a variable; undefined: it is neither yes nor no. */
export function isYes(value = ''): boolean | undefined {
  const word = value.toLowerCase();
  return Object.hasOwn(ANSWERS, word) ? ANSWERS[word] : undefined;
}
