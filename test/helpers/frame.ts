/** The frame's parts, each started by itself, with a program in the supervisor's place that shows what it was handed. */

import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {chmodSync, closeSync, constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {onExit} from 'signal-exit';
import {fixture, project, test, type Bench} from './jobbus.js';
import {eventually} from './processes.js';

/** Every signal but KILL and STOP, as the kernel shows it. */
export const ALL_BLOCKED = 'fffffffffffbfeff';

/** As a caller hands them down who has changed nothing. */
export const SETTINGS = `${'0'.repeat(16)}:${'0'.repeat(16)}:1024:-:-:8388608:0`;

export interface Frame {
  readonly sanitized: boolean;
  readonly program: string;
  readonly supervisor: string;
  /** What the program in the supervisor's place shows. */
  readonly shown: string;
  /** What the sanitizers found. */
  readonly findings: () => string[];
}

let built: string | undefined;

function builds(): string {
  built ??= mkdtempSync(join(tmpdir(), 'jbt-frame-'));
  return built;
}

onExit(() => {
  if (built !== undefined) {
    rmSync(built, {recursive: true, force: true});
  }
});

function build(name: string, program: string, words: readonly string[]): string {
  const path = join(builds(), name);
  if (!existsSync(path)) {
    execFileSync(program, words.map(word => word === '' ? path : word), {cwd: project, stdio: ['ignore', 'ignore', 'inherit']});
  }

  return path;
}

/** Makes a tree of files as it is installed. */
export function plant({base}: Bench, sanitized: boolean): Frame {
  const root = mkdtempSync(join(base, 'tree-'));
  const logs = join(builds(), 'log');
  const program = join(root, 'bin/jobbus-run');
  const supervisor = join(root, 'lib/jobbus-run/supervisor');
  const shown = join(root, 'lib/jobbus-run/shown');
  mkdirSync(join(root, 'bin'));
  mkdirSync(shown, {recursive: true});
  chmodSync(root, 0o755);
  chmodSync(shown, 0o777);
  copyFileSync(sanitized
    ? build('sanitized', 'node', ['frame.js', '', 'gcc', '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover', `-DLOGS="${logs}"`, 'fixtures/sanitizer-options.c'])
    : build('small', 'node', ['frame.js', '']), program);
  copyFileSync(build('supervisor', 'gcc', ['-O1', '-o', '', 'fixtures/show-handover.c']), supervisor);
  const findings = (): string[] => readdirSync(builds()).filter(name => name.startsWith('log')).map(name => readFileSync(join(builds(), name), 'utf8'));
  return {sanitized, program, supervisor, shown, findings};
}

export type FrameTest = (t: ExecutionContext<Bench>, frame: Frame) => Promise<void>;

/** A test of the frame as it is installed, and of one that is built with sanitizers, which must find nothing. */
export function frameTest(title: string, body: FrameTest): void {
  smallFrameTest(title, body);
  test(`${title}: sanitizers find nothing`, async t => {
    const frame = plant(t.context, true);
    await body(t, frame);
    t.deepEqual(frame.findings(), []);
  });
}

/** For what sanitizers cannot do without: address space, /proc, libraries. */
export function smallFrameTest(title: string, body: FrameTest): void {
  test(title, async t => body(t, plant(t.context, false)));
}

export interface Shown {
  /** The record's fields behind the name. */
  readonly record: readonly string[];
  /** The rest of the environment; a character is a byte. */
  readonly entries: readonly string[];
  readonly words: readonly string[];
  /** What went by a file of memory. */
  readonly memory: readonly string[];
  readonly descriptors: ReadonlyMap<number, string>;
  readonly directory: string;
  /** By their keys in proc(5)'s status. */
  readonly status: (key: string) => string;
  /** The soft one, by its name in /proc/PID/limits. */
  readonly limit: (name: string) => string;
  readonly children: readonly number[];
}

/** Waits until all is shown. */
export async function readShown({shown}: Frame): Promise<Shown> {
  await eventually('the supervisor', () => existsSync(join(shown, 'done')));
  const read = (name: string): string => existsSync(join(shown, name)) ? readFileSync(join(shown, name), 'latin1') : '';
  const [record = '', ...others] = strings(read('environ'));
  const entries = others.filter(entry => entry.startsWith(':'));
  return {
    record: record.replace(/^JOBBUS_LAUNCHER=/, '').split(':'),
    entries,
    words: strings(read('cmdline')),
    memory: strings(read('memory')),
    descriptors: new Map(read('fd').trim().split('\n').map(line => [Number.parseInt(line), line.replace(/^\d+ /, '')])),
    directory: read('cwd'),
    status: key => new RegExp(`^${key}:\\s*(.*)`, 'm').exec(read('status'))![1]!,
    limit: name => new RegExp(`^${name} +(\\S+)`, 'm').exec(read('limits'))![1]!,
    children: read('children').split(' ').filter(word => word !== '').map(Number),
  };
}

function strings(bytes: string): string[] {
  return bytes.split('\0').slice(0, -1);
}

/** Everything that a record's fields tell, by name. */
export function recordOf({record}: Shown): {readonly format: string; readonly version: string; readonly role: string; readonly pid: number; readonly directory: string; readonly closed: string; readonly settings: string; readonly memory: string; readonly descriptors: string} {
  const [format = '', version = '', role = '', pid = '', directory = '', closed = ''] = record;
  const [memory = '', descriptors = ''] = record.slice(13);
  return {format, version, role, pid: Number(pid), directory, closed, settings: record.slice(6, 13).join(':'), memory, descriptors};
}

/** Starts a part by its name. @param descriptors by their numbers, from 0 up; they are closed here afterwards */
export function startPart({environment}: Bench, {program}: Frame, words: readonly string[], descriptors: ReadonlyArray<number | 'ignore' | 'pipe'>, options: {readonly detached?: boolean; readonly prefix?: readonly string[]} = {}): ChildProcess {
  const [file, ...rest] = [...(options.prefix ?? []), program];
  const child = options.prefix === undefined
    ? spawn(file, words.slice(1), {argv0: words[0]!, env: environment, stdio: [...descriptors], detached: options.detached ?? false})
    : spawn(file, [...rest.slice(0, -1), join(program, '..', words[0]!), ...words.slice(1)], {env: environment, stdio: [...descriptors]});
  new Set(descriptors.filter(descriptor => typeof descriptor === 'number')).forEach(descriptor => closeSync(descriptor));
  return child;
}

export async function ended(child: ChildProcess): Promise<{readonly code: number | null; readonly signal: NodeJS.Signals | null}> {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise(resolve => child.once('exit', resolve));
  }

  return {code: child.exitCode, signal: child.signalCode};
}

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** Node's own are sockets. @param ours the end that stays here: a read from it does not wait */
export function makePipe({base}: Bench, ours: 'read' | 'write'): Pipe {
  const path = join(mkdtempSync(join(base, 'pipe-')), 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, constants.O_RDWR);
  const read = openSync(path, constants.O_RDONLY | (ours === 'read' ? constants.O_NONBLOCK : 0));
  const write = openSync(path, constants.O_WRONLY);
  closeSync(both);
  return {read, write};
}

/** @returns undefined where nothing is there, and no byte at the end of the file */
export function readNow(descriptor: number): Buffer | undefined {
  const bytes = Buffer.alloc(65_536);
  try {
    return bytes.subarray(0, readSync(descriptor, bytes));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
      return undefined;
    }

    throw error;
  }
}

/** Reads text until it matches; the rest is for the next. */
export function lineReader(descriptor: number): (pattern: RegExp) => Promise<RegExpExecArray> {
  let text = '';
  return async pattern => eventually(() => `${String(pattern)}; there is ${JSON.stringify(text)}`, () => {
    text += readNow(descriptor)?.toString('latin1') ?? '';
    const match = pattern.exec(text);
    text = match === null ? text : text.slice(match.index + match[0].length);
    return match ?? undefined;
  });
}

export const withEnvironment = fixture('with-environment');
