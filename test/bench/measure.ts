/** Measuring on a noisy machine: pairs run in turn, medians and ratios; CPU of everything that a command has started. */

import {spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';

export interface Sample {
  /** Milliseconds. */
  readonly wall: number;
  /** Milliseconds of all processes together; undefined where there is no cgroup to count them in. */
  readonly cpu: number | undefined;
}

export type Words = readonly [string, ...string[]];

const GROUPS = '/sys/fs/cgroup/cpuacct';

/** A cgroup counts helpers that have left the process tree too. */
export class CpuAccount {
  private readonly path: string | undefined;

  constructor(name: string) {
    const path = `${GROUPS}/jobbus-bench-${process.pid}-${name}`;
    try {
      mkdirSync(path);
      this.path = path;
    } catch {
      this.path = undefined;
    }
  }

  /** The words that run the command inside the account. */
  wrap(words: Words): Words {
    return this.path === undefined ? words : ['/bin/sh', '-c', `echo 0 >${this.path}/cgroup.procs && exec "$@"`, 'bench', ...words];
  }

  /** Milliseconds so far. */
  read(): number | undefined {
    return this.path === undefined ? undefined : Number(readFileSync(`${this.path}/cpuacct.usage`, 'utf8')) / 1e6;
  }

  close(): void {
    if (this.path !== undefined && existsSync(this.path)) {
      rmdirSync(this.path);
    }
  }
}

/** Runs a command once. Throws when it fails: no number is printed for a run that failed. */
export function sample(account: CpuAccount, words: Words, environment: NodeJS.ProcessEnv): Sample {
  const [program, ...rest] = account.wrap(words);
  const before = account.read();
  const start = performance.now();
  const {status, error, stderr} = spawnSync(program, rest, {env: environment, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8'});
  const wall = performance.now() - start;
  if (status !== 0) {
    throw new Error(`${words.join(' ')} failed with status ${String(status)}: ${error?.message ?? stderr}`);
  }

  const after = account.read();
  return {wall, cpu: before === undefined || after === undefined ? undefined : after - before};
}

/** Several commands in turn, round after round, so that noise hits all alike. */
export function inTurn(commands: Readonly<Record<string, Words>>, rounds: number, environment: NodeJS.ProcessEnv): Record<string, Sample> {
  const accounts = Object.keys(commands).map(name => [name, new CpuAccount(name)] as const);
  const samples: Record<string, Sample[]> = {};
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const [name, account] of accounts) {
      const taken = sample(account, commands[name]!, environment);
      if (round >= 0) {
        (samples[name] ??= []).push(taken);
      }
    }
  }

  accounts.forEach(([, account]) => account.close());
  return Object.fromEntries(
    Object.entries(samples).map(([name, taken]) => [
      name,
      {wall: median(taken.map(({wall}) => wall)), cpu: taken[0]?.cpu === undefined ? undefined : median(taken.map(({cpu}) => cpu!))},
    ]),
  );
}

const WARM_UPS = 3;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Private_Dirty of a process, in KiB. */
export function privateDirty(pid: number): number {
  return Number(/^Private_Dirty:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? Number.NaN);
}

/** Running processes whose environment has the entry. */
export function marked(entry: string): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger).filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(entry);
    } catch {
      return false;
    }
  });
}

/** Fails with the tool's name where it is not installed. */
export function need(tool: string): void {
  if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) {
    throw new Error(`The bench needs ${tool}: apt-get install -y $(cat test/packages)`);
  }
}

export function save(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);
}

