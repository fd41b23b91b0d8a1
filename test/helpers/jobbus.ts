/** Starts jobbus-run as a user would, and proves that nothing of it is left. */

import type {ChildProcess, StdioOptions} from 'node:child_process';
import {chmodSync, mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import type {ExecutionContext, TestFn} from 'ava';
import anyTest from 'ava';
import spawn from 'cross-spawn';
import {onExit} from 'signal-exit';
import {binary, isJobbusRun, isSentinelOf, project} from './ground.js';
import {allPids, eventually, processesWith, viewProcess, type ProcessView} from './processes.js';

export {binary, project};

/** The path of a file in fixtures/. */
export function fixture(name: string): string {
  return join(project, 'fixtures', name);
}

export interface Result {
  /** As a shell would show it: 128+n for a death by signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Run {
  readonly child: ChildProcess;
  readonly pid: number;
  /** All of stdout so far. */
  readonly output: () => string;
  readonly errors: () => string;
  /** Waits for a whole line of stdout that matches. */
  readonly line: (pattern: RegExp) => Promise<string>;
  /** Waits for a whole line of stderr that matches. */
  readonly errorLine: (pattern: RegExp) => Promise<string>;
  readonly result: Promise<Result>;
}

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  readonly detached?: boolean;
  readonly input?: string;
  /** Another program than jobbus-run. */
  readonly program?: string;
}

/** One test's own place: a base for sessions, and a mark in the environment of all that it starts. */
export interface Bench {
  readonly base: string;
  readonly mark: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly start: (words: readonly string[], options?: StartOptions) => Run;
  /** Starts, and waits for the end. */
  readonly run: (words: readonly string[], options?: StartOptions) => Promise<Result>;
  /** The session directories that are there. */
  readonly sessions: () => string[];
  /** Fails unless every process and every directory of this bench is gone. */
  readonly assertNothingLeft: () => Promise<void>;
}

export const test = anyTest as TestFn<Bench>;

/** Of stderr: what is said where a command has ended well and left something running. */
export const LEFT_RUNNING = /^jobbus-run: "[^"\n]+" has ended and left \d+ process(es)? running \([^\n]+\), which the end of the session ends; to go on until they have ended, use --wait\n$/;

/** For tests that mount: skipped, and reported so, where an ordinary user runs them. */
export const needsRoot = process.getuid!() === 0 ? test : test.skip;

/** For tests of what root may do everywhere: skipped, and reported so, where root runs them; test/as-user.sh runs them. */
export const needsUser = process.getuid!() === 0 ? test.skip : test;

/** A program and its first words that run jobbus-run, or another command, in a mount namespace of its own, behind shell lines that arrange that. */
export function inMountNamespace(lines: string, command: readonly string[] = [binary]): {readonly program: string; readonly words: readonly string[]} {
  return {program: '/usr/bin/unshare', words: ['--mount', '/bin/sh', '-ec', `${lines}\nexec "$@"`, 'sh', ...command]};
}

/** A program and words that run jobbus-run with a fault at a system call of its own, as `--inject` of strace(1) has it; its children have none. */
export function withFault(fault: string, words: readonly string[]): {readonly program: string; readonly words: readonly string[]} {
  return {program: 'strace', words: ['-D', '-o', '/dev/null', '-e', `trace=${fault.split(':')[0]}`, '-e', `inject=${fault}`, binary, ...words]};
}

/** Call once in each test file: every test gets a bench, and proves at its end that nothing is left. */
export function useBench(): void {
  test.beforeEach(t => {
    t.context = makeBench(t);
  });
  test.afterEach.always(async t => {
    try {
      await t.context.assertNothingLeft();
    } finally {
      clear(t.context);
    }
  });
}

const benches = new Set<Bench>();
let benchCount = 0;

/** What an interrupted test has started and made goes, too. */
onExit(() => benches.forEach(clear));

function clear(bench: Bench): void {
  benches.delete(bench);
  for (const {pid} of processesWith(bench.mark)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has gone by itself.
    }
  }

  try {
    rmSync(bench.base, {recursive: true, force: true, maxRetries: 3});
  } catch {
    // What has just been killed may still have written.
  }
}

function makeBench(t: ExecutionContext<Bench>): Bench {
  const base = mkdtempSync(join(tmpdir(), 'jbt-'));
  chmodSync(base, 0o711);
  const mark = `JOBBUS_TEST_MARK=${process.pid}-${++benchCount}`;
  const environment = {...cleanEnvironment(), JOBBUS_RUNTIME_BASE: base, JOBBUS_TEST_MARK: mark.split('=')[1]!};
  const start = (words: readonly string[], options: StartOptions = {}): Run => startRun(words, environment, options);
  const bench: Bench = {
    base,
    mark,
    environment,
    start,
    run: async (words, options) => start(words, options).result,
    sessions: () => sessionsIn(base),
    async assertNothingLeft() {
      // What was killed a moment ago may need one more to be gone.
      let left = leftProcesses(bench);
      await eventually('the last process to go', () => (left = leftProcesses(bench)).length === 0, 3000).catch(() => undefined);
      t.deepEqual(left.map(({pid, words}) => `${pid} ${words.join(' ')}`), [], 'no process is left');
      t.deepEqual(sessionsIn(base), [], 'no session directory is left');
    },
  };
  benches.add(bench);
  return bench;
}

/** A sentinel bears no mark; one that has lost its jobbus-run is left, whoever's it was. */
function leftProcesses({base, mark}: Bench): ProcessView[] {
  return [...processesWith(mark), ...lostSentinels(base)];
}

function lostSentinels(base: string): ProcessView[] {
  const sentinels = allPids().map(viewProcess).filter(view => view !== undefined).filter(view => view.state !== 'Z' && isSentinelOf(view, base));
  return sentinels.filter(({parent}) => !isJobbusRun(viewProcess(parent) ?? NOBODY));
}

const NOBODY = {pid: -1, words: []};

export function sessionsIn(base: string): string[] {
  return entriesOf(base).filter(path => basename(path).startsWith('jobbus-')).flatMap(entriesOf);
}

/** Paths; none when it is gone, as a parent may be that was listed a moment ago: the last run takes it away. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).map(name => join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error;
    }

    return [];
  }
}

/** The tests' own environment, without what would tell of another session. */
function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !/^(DBUS_|XDG_|JOBBUS_|SLURM|NODE_|AVA_|npm_)/.test(name));
  return Object.fromEntries(kept) as Record<string, string>;
}

function startRun(words: readonly string[], environment: Readonly<Record<string, string>>, options: StartOptions): Run {
  const child = spawn(options.program ?? binary, words, {
    cwd: options.cwd,
    detached: options.detached ?? false,
    env: {...environment, ...options.environment},
    stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const result = new Promise<Result>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({code, signal, stdout, stderr}));
  });
  const lineOf = async (name: string, text: () => string, pattern: RegExp): Promise<string> =>
    eventually(() => `a line ${String(pattern)} on ${name}; it has ${JSON.stringify(text())}, stderr ${JSON.stringify(stderr)}`, () => text().split('\n').slice(0, -1).find(line => pattern.test(line)));
  return {
    child,
    pid: child.pid ?? -1,
    output: () => stdout,
    errors: () => stderr,
    line: async pattern => lineOf('stdout', () => stdout, pattern),
    errorLine: async pattern => lineOf('stderr', () => stderr, pattern),
    result,
  };
}
