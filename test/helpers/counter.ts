/** A command that counts its signals, started as it is or under jobbus-run, and the senders of signals. */

import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {join} from 'node:path';
import {binary, isJobbusRun, project} from './ground.js';
import {childrenOf, eventually, viewProcess} from './processes.js';

export const FORWARDED = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGCONT', 'SIGWINCH', 'SIGTSTP', 'SIGXCPU',
  'SIGURG', 'SIGIO', 'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

/** Not forwarded: the tests send it to the command, to see that all that was sent before has arrived. */
const FENCE = 'SIGPROF';

export interface Counter {
  readonly child: ChildProcess;
  /** What senders aim at: jobbus-run, or the command where there is none. */
  readonly task: number;
  readonly command: number;
  /** How many of the signal the command has had. */
  readonly count: (signal: NodeJS.Signals) => number;
  /** How many of the signal jobbus-run has dealt with. */
  readonly settled: (signal: NodeJS.Signals) => number;
  /** Waits until all that was sent to the command so far has arrived. */
  readonly fence: () => Promise<void>;
  /** Ends the command. */
  readonly end: () => Promise<void>;
}

export interface CounterOptions {
  /** Words before jobbus-run. */
  readonly prefix?: readonly string[];
  readonly wrapped: boolean;
  /** The command leaves the process group and session of jobbus-run. */
  readonly ownGroup?: boolean;
  readonly environment: NodeJS.ProcessEnv;
}

/** Starts a counter in a process group of its own. */
export async function startCounter({prefix = [], wrapped, ownGroup = false, environment}: CounterOptions): Promise<Counter> {
  const command = [...(ownGroup ? ['setsid'] : []), join(project, 'fixtures/count-signals')];
  const [file = '', ...words] = [...prefix, ...(wrapped ? [binary, '-v', '--'] : []), ...command];
  const child = spawn(file, words, {detached: true, env: environment, stdio: ['ignore', 'pipe', 'pipe']});
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()));
  const pid = Number(await eventually('the counter to start', () => /^ready (\d+)$/m.exec(stdout)?.[1]));
  if (wrapped) {
    await eventually('jobbus-run to forward', () => stderr.includes(' as process ' + String(pid)));
  }

  if (ownGroup) {
    await eventually('the second sentinel', () => stderr.includes('process group of its own'));
  }

  const count = (signal: NodeJS.Signals): number => stdout.split('\n').filter(line => line === signal).length;
  return {
    child,
    task: wrapped ? parentOfSentinel(child.pid!) : pid,
    command: pid,
    count,
    settled: signal => stderr.split('\n').filter(line => new RegExp(`^jobbus-run(\\[\\d+\\])?: ${signal} `).test(line)).length,
    async fence() {
      // The second is sent when the first, and so all that was pending with it, has been seen.
      for (const goal of [count(FENCE) + 1, count(FENCE) + 2]) {
        process.kill(pid, FENCE);
        await eventually('the fence', () => count(FENCE) >= goal);
      }
    },
    async end() {
      process.kill(pid, 'SIGKILL');
      await closed;
    },
  };
}

/** With a prefix that forks, such as timeout(1), jobbus-run is a child of what was started. A child of its own may be a sweeper. */
function parentOfSentinel(started: number): number {
  return isJobbusRun(viewProcess(started)!) ? started : childrenOf(started).find(isJobbusRun)!.pid;
}

export const SENDERS = {
  'the pid': (signal, {task}) => signalEach(signal, [task]),
  'the group': (signal, {task}) => signalEach(signal, [-task]),
  'the tree, parents first': (signal, {task}) => signalEach(signal, treeOf(task)),
  'the tree, children first': (signal, {task}) => signalEach(signal, treeOf(task).reverse()),
} as const satisfies Record<string, (signal: NodeJS.Signals, counter: Counter) => number>;

export type Sender = keyof typeof SENDERS;

export function treeOf(root: number): number[] {
  return [root, ...childrenOf(root).flatMap(({pid}) => treeOf(pid))];
}

/**
 * What is promised to a sender that goes from pid to pid holds while it is quick, in milliseconds. One that was held up, on a
 * busy machine, is asked again.
 */
export const QUICK = 5;

/** @returns the milliseconds from the first to the last */
export function signalEach(signal: NodeJS.Signals, pids: readonly number[], gap = 0): number {
  return Number(execFileSync(join(project, 'fixtures/signal-each'), [signal.slice(3), `${gap}`, ...pids.map(String)]));
}
