/** Measuring on a noisy machine: pairs run in turn, medians and ratios; CPU of everything that a command has started. */

import {spawn, spawnSync, type ChildProcess, type SpawnOptions} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmdirSync} from 'node:fs';
import {eventually} from '../helpers/processes.js';
import {environment} from './place.js';

export type Words = readonly [string, ...string[]];

/** A line of the table; the numbers are for machines. */
export interface Row {
  readonly measure: string;
  readonly value: string;
  readonly goal?: string;
  readonly numbers?: Readonly<Record<string, number>>;
}

interface Counter {
  readonly name: string;
  /** Quick enough for one run to be told from another. */
  readonly exact: boolean;
  /** Where groups are made, if there are any. */
  readonly root: string | undefined;
  /** Milliseconds of CPU, of the group or of the machine. */
  readonly read: (group: string) => number;
}

const COUNTERS: readonly Counter[] = [
  {name: 'cgroup v1', exact: true, root: '/sys/fs/cgroup/cpuacct', read: group => Number(readFileSync(`${group}/cpuacct.usage`, 'utf8')) / 1e6},
  ...['', '/unified'].map(mount => ({name: 'cgroup v2', exact: true, root: `/sys/fs/cgroup${mount}${ownGroup()}`, read: usageOfGroup})),
  {name: '/proc/stat, and so all that the machine did', exact: false, root: undefined, read: usageOfMachine},
];

/** In the hierarchy of cgroup v2. */
function ownGroup(): string {
  return (/^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '').replace(/\/$/, '');
}

function usageOfGroup(group: string): number {
  return Number(/^usage_usec (\d+)/m.exec(readFileSync(`${group}/cpu.stat`, 'utf8'))![1]) / 1e3;
}

/** Of a hundredth of a second each: user, nice, system, and, after idle and iowait, interrupts. */
function usageOfMachine(): number {
  const [user = 0, nice = 0, system = 0, , , hard = 0, soft = 0] = /^cpu +(.*)/.exec(readFileSync('/proc/stat', 'utf8'))![1]!.split(' ').map(Number);
  return (user + nice + system + hard + soft) * 10;
}

/** The first that works here. */
export const counter = COUNTERS.find(({root, read}) => root === undefined || serves(root, read))!;

function serves(root: string, read: (group: string) => number): boolean {
  const group = `${root}/jobbus-bench-${process.pid}`;
  try {
    mkdirSync(group);
    const joined = spawnSync('/bin/sh', ['-c', `echo 0 >${group}/cgroup.procs`]).status === 0;
    return joined && read(group) >= 0;
  } catch {
    return false;
  } finally {
    if (existsSync(group)) {
      rmdirSync(group);
    }
  }
}

/** A cgroup counts helpers that have left the process tree too. */
export class CpuAccount {
  private readonly group: string | undefined;

  constructor(name: string) {
    this.group = counter.root === undefined ? undefined : `${counter.root}/jobbus-bench-${process.pid}-${name}`;
    if (this.group !== undefined) {
      mkdirSync(this.group);
    }
  }

  /** The words that run the command inside the account. */
  wrap(words: Words): Words {
    return this.group === undefined ? words : ['/bin/sh', '-c', `echo 0 >${this.group}/cgroup.procs && exec "$@"`, 'bench', ...words];
  }

  /** Milliseconds so far. */
  read(): number {
    return counter.read(this.group ?? '');
  }

  /** A helper that outlives the command, as foreground-child's does, keeps the group for a while. */
  async close(): Promise<void> {
    const {group} = this;
    if (group !== undefined) {
      await eventually('a cgroup to be left', () => readFileSync(`${group}/cgroup.procs`, 'utf8') === '');
      rmdirSync(group);
    }
  }
}

/** Milliseconds. */
export interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

/** Once for the time and once for the CPU: in a cgroup that was just made, a bare Node takes some 12 ms longer, and with it the ratios shrink. */
function sample(account: CpuAccount, words: Words): Sample {
  const start = performance.now();
  runOnce(words);
  const wall = performance.now() - start;
  const before = account.read();
  runOnce(account.wrap(words));
  return {wall, cpu: account.read() - before};
}

/** Throws when the command fails: no number is printed for a run that failed. */
function runOnce(words: Words): void {
  const [program, ...rest] = words;
  const {status, error, stderr} = spawnSync(program, rest, {env: environment, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8'});
  if (status !== 0) {
    throw new Error(failure(words, status, error?.message ?? stderr));
  }
}

function failure(words: Words, status: unknown, reason: string): string {
  return `${words.join(' ')} failed with status ${String(status)}: ${reason}`;
}

/** Several commands in turn, round after round, so that noise hits all alike. */
export async function inTurn(commands: Readonly<Record<string, Words>>, rounds: number): Promise<Record<string, Sample>> {
  const lanes = Object.entries(commands).map(([name, words]) => ({name, words, account: new CpuAccount(name), samples: [] as Sample[]}));
  try {
    for (let round = -WARM_UPS; round < rounds; round++) {
      for (const {words, account, samples} of lanes) {
        const taken = sample(account, words);
        samples.push(...(round < 0 ? [] : [taken]));
      }
    }
  } finally {
    await Promise.all(lanes.map(async ({account}) => account.close()));
  }

  const middle = counter.exact ? median : mean;
  return Object.fromEntries(lanes.map(({name, samples}) => [name, {wall: median(samples.map(({wall}) => wall)), cpu: middle(samples.map(({cpu}) => cpu))}]));
}

const WARM_UPS = 2;

export interface Started {
  readonly child: ChildProcess;
  readonly startedAt: number;
  /** When the next piece of its output comes. */
  readonly output: () => Promise<number>;
  /** When the last holder of its stdout has let go. */
  readonly closed: Promise<number>;
  /** When it was gone. Fails when the status is another than 0. */
  readonly gone: Promise<number>;
}

/** Starts a command with pipes for stdin and stdout, for what is measured from one event to another. */
export function start(words: Words, options: SpawnOptions = {}): Started {
  const startedAt = performance.now();
  const child = spawn(words[0], words.slice(1), {env: environment, stdio: ['pipe', 'pipe', 'inherit'], ...options});
  child.stdin!.on('error', () => {}); // It has ended, which its status tells.
  child.stdout!.resume();
  const gone = new Promise<number>((resolve, reject) => {
    child.once('error', error => reject(new Error(failure(words, 'none', error.message))));
    child.once('exit', (code, signal) => (code === 0 ? resolve(performance.now()) : reject(new Error(failure(words, code ?? signal, 'see above')))));
  });
  const output = async (): Promise<number> => new Promise(resolve => child.stdout!.once('data', () => resolve(performance.now())));
  const closed = new Promise<number>(resolve => child.stdout!.once('close', () => resolve(performance.now())));
  return {child, startedAt, output: async () => Promise.race([output(), gone]), closed, gone};
}

/** Milliseconds until the command says something. */
export async function startTime(words: Words, options?: SpawnOptions): Promise<number> {
  const {startedAt, output, gone} = start(words, options);
  const time = (await output()) - startedAt;
  await gone;
  return time;
}

/** One after the other: each round asks every measure once. @returns the medians, in the same order */
export async function medians(measures: ReadonlyArray<() => Promise<number>>, rounds: number): Promise<number[]> {
  const values: number[][] = measures.map(() => []);
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const [index, measure] of measures.entries()) {
      const value = await measure();
      values[index]!.push(...(round < 0 ? [] : [value]));
    }
  }

  return values.map(median);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Private_Dirty of a process, in KiB. */
export function privateDirty(pid: number): number {
  return Number(/^Private_Dirty:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))![1]);
}

/** Fails with the tool's name where it is not installed. */
export function need(tool: string): void {
  if (spawnSync('/bin/sh', ['-c', `command -v ${tool}`], {env: environment}).status !== 0) {
    throw new Error(`it needs ${tool}, which is not in ${environment.PATH!}; install it: apt-get install -y $(cat test/packages)`);
  }
}

export function ratio(one: number, other: number): string {
  return `${(one / other).toFixed(2)} ×`;
}

export function milliseconds(value: number): string {
  return `${value.toFixed(1)} ms`;
}
