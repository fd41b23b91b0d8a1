/**
 * What the caller has handed down and Node has erased: read from the launcher's witness.
 *
 * The witness is a copy of the launcher's shell that stays as the caller made it until we have read it in /proc; see
 * bin/jobbus-run for why it is needed, and restoration.ts for the way back.
 */

import {readdirSync, readlinkSync, statSync} from 'node:fs';
import {decode, isText} from './bytes.js';
import {LAUNCHER_VARIABLE, readProc, signalProcess, statusOf, type ProcessStatus} from './processes.js';
import {signalNumber} from './signal-numbers.js';

export interface Caller {
  /** After the program's name. */
  readonly words: readonly string[];
  /** As the caller made it. */
  readonly environment: Readonly<Record<string, string>>;
  /** What sh has changed in it on the way here, and will change again on the way to the command. */
  readonly alteredNames: readonly string[];
  /** From 3 upwards. */
  readonly descriptors: readonly number[];
  /** Numbers of the signals that the caller ignores. */
  readonly ignoredSignals: readonly number[];
  /** Numbers of the signals that the caller blocks. */
  readonly blockedSignals: readonly number[];
  /** The soft limit of open files, or `unlimited`; undefined where nobody knows. */
  readonly openFiles: string | undefined;
  /** Of 0, 1 and 2, those that the caller has closed. */
  readonly closedDescriptors: string;
  /** The launcher's own path, for helpers to start us anew. */
  readonly launcher: string;
  /** Descriptors that Node leaves open for every child: the command's business, and nobody else's. */
  readonly shielded: readonly number[];
  /** Why nothing is known but what Node has left. */
  readonly problem: string | undefined;
}

/** As the launcher writes it: format, the witness's pid, the masks of blocked and ignored signals, closed standard descriptors. */
const RECORD = /^1:(\d+):([0-9a-f]{16}):([0-9a-f]{16}):([012]{1,3}|-)$/;

/** The close-on-exec bit among the flags in /proc/PID/fdinfo. */
const CLOSE_ON_EXEC = 0o2000000;

/** Variables that no shell changes: the launcher has kept them from our own Node. */
const KEPT_FROM_NODE = /^(NODE_\w+|LD_\w+|OPENSSL_CONF)$/;

/** What the witness listens to; where none can reach it, KILL has to do, and its sleep holds the descriptors for up to a second. */
const RELEASE_SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGUSR2'] as const;

/** Node itself ignores none of the real-time signals and so resets none; SIGCHLD no shell can restore. */
const LAST_STANDARD_SIGNAL = 31;

/** Between the standard and the real-time signals, the C library has some of its own. */
const FIRST_REALTIME_SIGNAL = 34;

const LAUNCHER = `${__dirname}/../bin/jobbus-run`;

/** Reads the witness and releases it. A record that was not made by the launcher of this process is not believed. */
export function readCaller(environment: NodeJS.ProcessEnv): Caller {
  const record = RECORD.exec(environment[LAUNCHER_VARIABLE] ?? '');
  const ours = withoutLauncher(environment);
  const witness = record === null ? undefined : findWitness(Number(record[1]));
  if (record === null || witness === undefined) {
    return unknownCaller(ours, record === null ? 'there is no record of its form' : 'its witness is not there');
  }

  const blockedSignals = signalNumbers(record[2]!);
  const ignoredSignals = signalNumbers(record[3]!).filter(number => number <= LAST_STANDARD_SIGNAL && number !== signalNumber('SIGCHLD'));
  const original = parseEnvironment(decode(readProc(`/proc/${witness.pid}/environ`) ?? Buffer.alloc(0)));
  const caller = {
    words: callerWords(),
    environment: original,
    alteredNames: differingNames(original, ours).filter(name => name !== '' && !(KEPT_FROM_NODE.test(name) && isText(original[name] ?? ''))),
    ...inheritedDescriptors(witness.pid),
    ignoredSignals,
    blockedSignals,
    openFiles: /^Max open files\s+(\S+)/m.exec(readProc(`/proc/${witness.pid}/limits`)?.toString() ?? '')?.[1],
    closedDescriptors: record[4]!,
    launcher: LAUNCHER,
    problem: undefined,
  };
  release(witness, [...ignoredSignals, ...blockedSignals]);
  return caller;
}

function unknownCaller(environment: Readonly<Record<string, string>>, problem: string): Caller {
  return {
    words: callerWords(), environment, alteredNames: [], descriptors: [], ignoredSignals: [], blockedSignals: [], openFiles: undefined,
    closedDescriptors: '-', launcher: LAUNCHER, shielded: [], problem,
  };
}

/** Node has put U+FFFD where a word is not UTF-8. */
function callerWords(): readonly string[] {
  const words = process.argv.slice(2);
  return words.some(word => word.includes('\ufffd')) ? decode(readProc('/proc/self/cmdline')!).split('\0').slice(-words.length - 1, -1) : words;
}

function withoutLauncher(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => name !== LAUNCHER_VARIABLE)) as Record<string, string>;
}

/** A witness was forked by the process that is now Node: in its group and session, after it, from the same command line. */
function findWitness(pid: number): ProcessStatus | undefined {
  const witness = statusOf(pid);
  const self = statusOf(process.pid)!;
  if (witness?.group !== self.group || witness.session !== self.session || Number(witness.startTime) < Number(self.startTime)) {
    return undefined;
  }

  const [, script = '', ...words] = decode(readProc(`/proc/${pid}/cmdline`) ?? Buffer.alloc(0)).split('\0');
  return [script, ...words].some(word => word.endsWith('jobbus-run')) || isSameFile(script, LAUNCHER) ? witness : undefined;
}

/** A link to the launcher may have any name. */
function isSameFile(one: string, other: string): boolean {
  const [ours, theirs] = [one, other].map(path => statSync(path, {throwIfNoEntry: false}));
  return ours !== undefined && ours.ino === theirs?.ino && ours.dev === theirs.dev;
}

function signalNumbers(mask: string): number[] {
  const bits = BigInt(`0x${mask}`);
  return Array.from({length: 64}, (_, index) => index + 1).filter(number =>
    (bits >> BigInt(number - 1)) & 1n && (number <= LAST_STANDARD_SIGNAL || number >= FIRST_REALTIME_SIGNAL));
}

function parseEnvironment(block: string): Record<string, string> {
  const entries = block.split('\0').filter(entry => entry.indexOf('=') > 0);
  // Of two entries with one name, getenv(3) finds the first.
  return Object.fromEntries(entries.reverse().map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

function differingNames(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(name => one[name] !== other[name]);
}

/** Those of the witness's that we hold too, and that are the same: not the launcher's script, and not what Node has opened. */
function inheritedDescriptors(witness: number): Pick<Caller, 'descriptors' | 'shielded'> {
  const descriptors = descriptorNumbers(witness).filter(number => target(witness, number) === target(process.pid, number));
  return {descriptors, shielded: descriptors.filter(number => !closesOnExec(number))};
}

function descriptorNumbers(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map(Number).filter(number => number > 2).sort((a, b) => a - b);
  } catch {
    return [];
  }
}

function target(pid: number, descriptor: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}

function closesOnExec(descriptor: number): boolean {
  return (flagsOf(descriptor) & CLOSE_ON_EXEC) !== 0;
}

/** As of open(2). */
export function flagsOf(descriptor: number): number {
  const flags = /^flags:\s*([0-7]+)/m.exec(readProc(`/proc/self/fdinfo/${descriptor}`)?.toString() ?? '')?.[1];
  return Number.parseInt(flags ?? '0', 8);
}

function release(witness: ProcessStatus, unheard: readonly number[]): void {
  const isHeard = (signal: NodeJS.Signals): boolean => unheard.length === 0 || !unheard.includes(signalNumber(signal));
  signalProcess(witness, RELEASE_SIGNALS.find(isHeard) ?? 'SIGKILL');
}
