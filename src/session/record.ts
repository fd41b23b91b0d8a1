/**
 * A session's record: what others need to know to judge it, in a file in its directory.
 *
 * Written under another name and renamed, so nobody reads half of one. Read with distrust: whatever stands at its path may
 * be a link, a device that blocks, enormous or another version's.
 */

import {constants, fstatSync, readlinkSync, readSync, renameSync, writeFileSync} from 'node:fs';
import {isChange, type Change} from './environment.js';
import {failed, success, systemReason, type Result} from '../cli/failure.js';
import type {JobMembership} from './job.js';
import {lockPlace, type Place} from './lock-table.js';
import type {Syntax} from '../cli/options.js';
import {ifPossible} from '../system/if-possible.js';
import {readProc, statusOf, type Process} from '../system/processes.js';
import {withFile} from '../system/untrusted-file.js';

/**
 * Where a process lives: a pid means something in one pid namespace of one boot, a lock in one network namespace, and a start time in one time
 * namespace: /proc tells it by the clock of who reads. time_namespaces(7).
 */
export interface Whereabouts extends Place {
  readonly host: string;
  readonly pidNamespace: string;
  /** Undefined before Linux 5.6, and in records of older versions. */
  readonly timeNamespace: string | undefined;
}

export interface SessionRecord extends Whereabouts {
  readonly format: typeof FORMAT;
  /** The directory's own name: a record that was copied elsewhere says nothing. */
  readonly name: string;
  /** With it the session ends: jobbus-run, or the shell that it serves. */
  readonly owner: Process;
  /** Only where the owner is a shell. */
  readonly shell?: ShellPart | undefined;
  readonly daemon: Process | undefined;
  /** Only where there is one: nobody ends it before the others. */
  readonly keyring?: Process | undefined;
  readonly address: string;
  readonly job: JobMembership;
  readonly step: string | undefined;
  /** For people; cut at some length. */
  readonly command: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Milliseconds between TERM and KILL. */
  readonly stopTimeout: number;
  /** Leave the directory. */
  readonly keep: boolean;
  /** Only where others share it. */
  readonly share?: SharePart | undefined;
  /** Who joins gets the bus alone. */
  readonly busOnly?: boolean | undefined;
}

/** What others who share the session need to know. */
interface SharePart {
  /** For people. */
  readonly key: string;
  /** It keeps the session when its owner has ended, and others have not. */
  readonly keeper: Process;
  /** What it was begun with, for people. */
  readonly bus: string;
}

/** What it takes to end the session of a shell that lives on. */
export interface ShellPart {
  readonly syntax: Syntax;
  readonly keeper: Process;
  /** What its variables have gone through. */
  readonly changes: readonly Change[];
}

/** `alien`: of a format that another version of jobbus-run knows. */
export type Reading = {readonly kind: 'record'; readonly record: SessionRecord} | {readonly kind: 'none'} | {readonly kind: 'alien'};

export const FORMAT = 1;

export const RECORD_FILE = 'session.json';
const LONGEST = 65_536;
const LONGEST_COMMAND = 200;

export function whereabouts(): Whereabouts {
  return {
    ...lockPlace(),
    host: readProc('/proc/sys/kernel/hostname')?.toString().trim() ?? '',
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    timeNamespace: ifPossible(() => readlinkSync('/proc/self/ns/time')),
  };
}

/** The record of a session that this process owns. */
export function newRecord(
  known: Pick<SessionRecord, 'name' | 'address' | 'daemon' | 'job' | 'stopTimeout' | 'keep' | 'busOnly' | 'share'>,
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): SessionRecord {
  const {pid, startTime} = statusOf(process.pid)!;
  return {
    format: FORMAT,
    ...known,
    ...whereabouts(),
    owner: {pid, startTime},
    step: environment.SLURM_STEP_ID,
    command: command.join(' ').slice(0, LONGEST_COMMAND),
    startedAt: Date.now(),
  };
}

export function writeRecord(directory: string, record: SessionRecord): Result<undefined> {
  const temporary = `${directory}/${RECORD_FILE}.new`;
  try {
    writeFileSync(temporary, JSON.stringify(record), {mode: 0o600});
    renameSync(temporary, `${directory}/${RECORD_FILE}`);
    return success(undefined);
  } catch (error) {
    return failed({kind: 'record', path: directory, reason: systemReason(error)});
  }
}

/** @param name the session's, without any claim */
export function readRecord(directory: string, name: string): Reading {
  const value: unknown = ifPossible(() => withFile(`${directory}/${RECORD_FILE}`, constants.O_RDONLY, parse));
  if (!isObject(value)) {
    return {kind: 'none'};
  }

  if (typeof value.format === 'number' && value.format !== FORMAT) {
    return {kind: 'alien'};
  }

  // An address without its name is another bus's: who bears it is not of this session.
  return isRecord(value) && value.name === name && value.address.includes(name) ? {kind: 'record', record: value} : {kind: 'none'};
}

function parse(file: number): unknown {
  const found = fstatSync(file);
  if (!found.isFile() || found.uid !== process.getuid!() || found.size > LONGEST) {
    return undefined;
  }

  const bytes = Buffer.alloc(found.size);
  return JSON.parse(bytes.toString('utf8', 0, readSync(file, bytes)));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const STRINGS = ['host', 'boot', 'networkNamespace', 'pidNamespace', 'name', 'address', 'command'] as const;
const NUMBERS = ['startedAt', 'stopTimeout'] as const;

function isRecord(value: Record<string, unknown>): value is Record<string, unknown> & SessionRecord {
  return (
    value.format === FORMAT &&
    STRINGS.every(key => typeof value[key] === 'string') &&
    NUMBERS.every(key => Number.isFinite(value[key]) && Number(value[key]) >= 0) &&
    typeof value.keep === 'boolean' &&
    (value.busOnly === undefined || typeof value.busOnly === 'boolean') &&
    isProcess(value.owner, INIT) &&
    (value.shell === undefined || isShellPart(value.shell)) &&
    (value.share === undefined || isSharePart(value.share)) &&
    (value.daemon === undefined || isProcess(value.daemon)) &&
    (value.keyring === undefined || isProcess(value.keyring)) &&
    (value.timeNamespace === undefined || typeof value.timeNamespace === 'string') &&
    (value.step === undefined || typeof value.step === 'string') &&
    isJob(value.job)
  );
}

/** In a container it may be a shell, or jobbus-run itself. */
export const INIT = 1;

function isProcess(value: unknown, lowest = INIT + 1): value is Process {
  return isObject(value) && Number.isSafeInteger(value.pid) && Number(value.pid) >= lowest && typeof value.startTime === 'string';
}

function isSharePart(value: unknown): value is SharePart {
  return isObject(value) && typeof value.key === 'string' && typeof value.bus === 'string' && isProcess(value.keeper);
}

function isShellPart(value: unknown): value is ShellPart {
  return (
    isObject(value) &&
    ['sh', 'csh', 'fish'].includes(String(value.syntax)) &&
    isProcess(value.keeper) &&
    Array.isArray(value.changes) &&
    value.changes.every(change => isObject(change) && isChange(change))
  );
}

function isJob(value: unknown): value is JobMembership {
  return (
    isObject(value) &&
    Array.isArray(value.identity) &&
    value.identity.every(entry => typeof entry === 'string') &&
    (value.cgroup === undefined || typeof value.cgroup === 'string')
  );
}
