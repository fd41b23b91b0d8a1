/**
 * What the caller has handed down: noted by the frame before the engine could change it, and read here, once.
 *
 * The frame puts a record first, then a variable for the engine, and one byte in front of each of the caller's, that no name of theirs means
 * anything to the engine; the kernel still has them all in /proc/self/environ. One that would be too long for that comes in a file without a name.
 */

import {readFileSync, readlinkSync} from 'node:fs';
import {decode} from './bytes.js';
import {close} from './descriptors.js';
import {childrenOf, readProc, statusOf, type Process} from './processes.js';

export interface Caller {
  /** After the program's name; bytes that are not UTF-8 as of bytes.ts. */
  readonly words: readonly string[];
  /** The same as they came. */
  readonly rawWords: readonly Buffer[];
  /** The environment as it came, in its order; an entry need not be `NAME=value`. */
  readonly entries: readonly Buffer[];
  /** Of two with one name, the one that getenv(3) finds. */
  readonly environment: Readonly<Record<string, string>>;
  /** A handle on the working directory; undefined where we are still in it. */
  readonly directory: number | undefined;
  /** Of 0, 1 and 2, those that the caller has closed, as digits. */
  readonly closed: string;
  /** Masks of signals, bit n-1 for signal n. */
  readonly blocked: bigint;
  readonly ignored: bigint;
  /** Masks and soft limits, in the words in which the frame takes them. */
  readonly settings: string;
  /** The caller's descriptors from 3 up. */
  readonly descriptors: readonly number[];
  /** Those that the caller had before it became us: a shell's background, before an exec. */
  readonly children: readonly Process[];
  /** Whether this process was a gate whose command could not be executed: of that, the words tell. */
  readonly isUnstarted: boolean;
  /** Set in the keeper of a session whose jobbus-run was killed: the daemon's pid, 0 where there was none. */
  readonly keeperOf: number | undefined;
}

/** The frame's record for the supervisor; the command and the bus do not have it. */
export const RECORD_NAME = 'JOBBUS_LAUNCHER';
const FORMAT = '2';

/** In front of each entry of the caller's, and of no other. */
const SHIFTED = ':'.charCodeAt(0);
const SHIFT = 1;

declare const VERSION: string;

/** @returns the caller; or why there is none: what is to be said of it */
export function readCaller(): Caller | string {
  const environ = readProc('/proc/self/environ');
  if (environ === undefined) {
    return 'the kernel hides its /proc/self/environ; make lib/jobbus-run/supervisor a file that all may read, without set-id bits and capabilities, and call jobbus-run with one user id';
  }

  const [first, ...others] = split(environ);
  const shifted = others.filter(entry => entry[0] === SHIFTED);
  const [name, record = ''] = (first?.toString('latin1') ?? '').split('=');
  const [format, version, role, pid, ...fields] = record.split(':');
  if (name !== RECORD_NAME || format !== FORMAT || Number(pid) !== process.pid) {
    return 'it is not to be called by itself; call jobbus-run';
  }

  if (version !== VERSION) {
    return `it is of version ${VERSION}, and jobbus-run of ${version ?? '?'}; unpack one archive whole`;
  }

  return caller(role!, fields, shifted);
}

function caller(role: string, fields: readonly string[], shifted: readonly Buffer[]): Caller {
  const [directory, closed, blocked, ignored, ...rest] = fields as [string, string, string, string, ...string[]];
  const settings = [blocked, ignored, ...rest.slice(0, -2)].join(':');
  const [outside, descriptors] = rest.slice(-2) as [string, string];
  const entries = restored(shifted, numberIn(outside));
  const [name, ...rawWords] = split(readFileSync('/proc/self/cmdline'));
  return {
    words: rawWords.map(decode),
    rawWords,
    entries,
    environment: environmentOf(entries),
    directory: numberIn(directory),
    closed: closed === '-' ? '' : closed,
    blocked: BigInt(`0x${blocked}`),
    ignored: BigInt(`0x${ignored}`),
    settings,
    descriptors: rangesIn(descriptors),
    children: childrenOf(process.pid).map(statusOf).filter(child => child !== undefined),
    isUnstarted: name?.toString() === 'jobbus-unstarted',
    keeperOf: numberIn(role.replace(/^keeper\./, '').replace(/^caller$/, '-')),
  };
}

/** A path of the caller's working directory, which is not ours. */
export function directoryOf({directory}: Caller): string {
  return directory === undefined ? '/proc/self/cwd' : `/proc/self/fd/${directory}`;
}

/** The path for another process, which has neither the caller's working directory nor our handle on it. */
export function absolute(path: string, caller: Caller): string {
  return path.startsWith('/') ? path : `${decode(readlinkSync(directoryOf(caller), 'buffer'))}/${path}`;
}

/** @param outside the file with the entries that did not fit, in their order; where one belongs, the byte stands alone */
function restored(shifted: readonly Buffer[], outside: number | undefined): readonly Buffer[] {
  const others = outside === undefined ? [] : split(readFileSync(`/proc/self/fd/${outside}`));
  if (outside !== undefined) {
    close(outside);
  }

  let next = 0;
  return shifted.map(entry => (entry.length === SHIFT ? others[next++] ?? Buffer.alloc(0) : entry.subarray(SHIFT)));
}

/** Each ends with a NUL. */
function split(block: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0, end = block.indexOf(0); end !== -1; start = end + 1, end = block.indexOf(0, start)) {
    parts.push(block.subarray(start, end));
  }

  return parts;
}

function environmentOf(entries: readonly Buffer[]): Record<string, string> {
  const pairs = entries.map(decode).filter(entry => entry.indexOf('=') > 0).map((entry): [string, string] => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]);
  return Object.fromEntries(pairs.reverse());
}

function numberIn(field: string): number | undefined {
  return field === '-' ? undefined : Number(field);
}

/** As in `3-9,11`. */
function rangesIn(field: string): number[] {
  const numbers: number[] = [];
  for (const range of field === '-' ? [] : field.split(',')) {
    const [first, last = first] = range.split('-').map(Number) as [number, number?];
    for (let number = first; number <= last; number++) {
      numbers.push(number);
    }
  }

  return numbers;
}
