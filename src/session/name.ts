/**
 * The names of sessions: `<job>-<letters>`, and `<job>-<letters>~<claim>` while a sweeper is at it.
 *
 * Half of the letters are random, so that nobody can foresee a name. The others tell where the session's lock can be seen:
 * one whose maker was killed before it could write a record can be judged by its name.
 */

import {lockPlace, type Place} from './lock-table.js';
import type {Process} from '../system/processes.js';
import type {Whereabouts} from './record.js';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

const NAME = /^(\w+-[a-z2-7]{8}([a-z2-7]{8}))(?:~(\d+)\.(\d+)\.(\d+)\.[a-z2-7]{8})?$/;

export interface SessionName {
  /** The session's own, without the claim. */
  readonly name: string;
  /** As {@link placeLetters} has it. */
  readonly place: string;
  readonly claim: Claim | undefined;
}

/** By which sweeper. */
interface Claim {
  /** As of {@link claimNamespace}. */
  readonly pidNamespace: string;
  readonly sweeper: Process;
}

/**
 * Unguessable, and known before there is a directory.
 *
 * @param job letters and digits
 */
export function sessionName(job: string): string {
  return `${job}-${randomLetters(8)}${placeLetters(lockPlace())}`;
}

/** Four letters for the boot and four for the network namespace, which differ between any two namespaces of a boot. */
export function placeLetters({boot, networkNamespace}: Place): string {
  return fourLetters(Number.parseInt(boot.slice(0, 8), 16)) + fourLetters(Number(/\d+/.exec(networkNamespace)?.[0]));
}

/** A name under which a process claims a session: one that nobody could foresee, and have locked. */
export function claimName(name: string, here: Whereabouts, {pid, startTime}: Process): string {
  return `${name}~${/\d+/.exec(claimNamespace(here) ?? '')?.[0] ?? '0'}.${pid}.${startTime}.${randomLetters(8)}`;
}

/**
 * The pid namespace in which a claim's sweeper can be looked for. A claim has no room for the time namespace: what sweepers in another than the
 * machine's own claim, or find claimed, is judged by the lock.
 *
 * @returns undefined where a start time means nothing to others
 */
export function claimNamespace({pidNamespace, timeNamespace}: Whereabouts): string | undefined {
  return timeNamespace === undefined || timeNamespace === INITIAL_TIME_NAMESPACE ? pidNamespace : undefined;
}

/** The kernel's own number, since Linux 5.6. */
const INITIAL_TIME_NAMESPACE = 'time:[4026531834]';

/** @returns undefined when it is no session's */
export function parseName(entry: string): SessionName | undefined {
  const [, name, place, namespace, pid, startTime] = NAME.exec(entry) ?? [];
  if (name === undefined || place === undefined) {
    return undefined;
  }

  return {name, place, claim: startTime === undefined ? undefined : {pidNamespace: `pid:[${namespace}]`, sweeper: {pid: Number(pid), startTime}}};
}

/** What {@link sessionName} was given. */
export function jobOfName(name: string): string {
  return name.slice(0, name.indexOf('-'));
}

/** 5 bits a letter, of the engine, which asks the kernel: /dev may be empty, and /proc hide all but processes. To load node:crypto would cost each launch milliseconds. */
export function randomLetters(count: number): string {
  let letters = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(count))) {
    letters += ALPHABET[byte % 32]!;
  }

  return letters;
}

/** The low 20 bits. */
function fourLetters(number: number): string {
  return [0, 5, 10, 15].map(shift => ALPHABET[(number >>> shift) & 31]!).join('');
}
