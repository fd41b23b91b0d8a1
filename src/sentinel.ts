/**
 * The sentinel's side of the question that a forwarder cannot answer by itself: has the command got this signal already?
 *
 * A sender may signal one process, a process group or a whole tree, and Node does not say which. The sentinel
 * (sh/sentinel.sh) stands where the command stands and tells what it hears. An answer is as new as the question: a signal
 * to the group is pending for all of it before any of it runs on.
 */

import type {ChildProcess} from 'node:child_process';
import type {Readable, Writable} from 'node:stream';
import {now} from './clock.js';
import {success, type Result} from './failure.js';
import {startHelper} from './helper.js';
import type {Caller} from './inherited.js';
import sentinelScript from './sh/sentinel.sh';

export interface Sentinel {
  /**
   * Asks whether it has heard the signal, not long before we received it or since. The answer uses up all that it has heard: where it has
   * heard two and we have received one, they were pending for us at the same time.
   *
   * @param received when, by the clock
   */
  hasHeard(signal: NodeJS.Signals, received: number): Promise<boolean>;
  /** @returns once it is gone */
  end(): Promise<void>;
}

/** Milliseconds for the traps to be set; a sentinel that is stopped, say, must not hold up the command. */
const READY_TIME = 5000;

/**
 * Milliseconds for an answer, on a node on which all wait for a processor. Without one, as of a sentinel that is stopped, the signal is
 * better forwarded twice than never.
 */
const ANSWER_TIME = 5000;

/** Milliseconds for it to end by itself. */
const END_TIME = 500;

/**
 * A sender that goes from pid to pid may reach the sentinel this many milliseconds before us. Slurm's proctrack/linuxproc
 * signals what the tasks of a node have started, and then the tasks: measured, some 10 ms ahead with sixteen of them.
 */
const LEAD_TIME = 250;

/** @param detached outside of our process group, in our tree */
export async function startSentinel({environment, shielded}: Caller, detached: boolean): Promise<Result<Sentinel>> {
  const started = await startHelper({
    name: 'sentinel',
    script: sentinelScript,
    words: [],
    environment,
    detached,
    stdio: ['pipe', 'pipe', 'ignore'],
    shielded,
  });
  return started.ok ? success(await listening(started.value)) : started;
}

async function listening(child: ChildProcess): Promise<Sentinel> {
  const {stdin, stdout} = child as ChildProcess & {stdin: Writable; stdout: Readable};
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()));
  /** When it was last heard. */
  const heardAt = new Map<string, number>();
  const awaited = new Map<string, () => void>();
  const ready = new Promise<void>(resolve => awaited.set('ready', resolve));
  let questions = 0;
  let rest = '';

  stdin.on('error', () => {}); // It is gone; so is its answer.
  stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    for (const [question = '', ...signals] of lines.map(line => line.split(' '))) {
      for (const signal of signals) {
        heardAt.set(`SIG${signal}`, now());
      }

      awaited.get(question)?.();
      awaited.delete(question);
    }
  });
  const take = (signal: NodeJS.Signals, received: number): boolean => {
    const heard = heardAt.get(signal) ?? -Infinity;
    heardAt.delete(signal);
    return heard >= received - LEAD_TIME;
  };

  await Promise.race([ready, gone, sleep(READY_TIME)]);
  return {
    async hasHeard(signal, received) {
      const question = String(++questions);
      const answer = new Promise<boolean>(resolve => awaited.set(question, () => resolve(take(signal, received))));
      stdin.write(`${question}\n`);
      return Promise.race([answer, Promise.race([gone, sleep(ANSWER_TIME)]).then(() => false)]);
    },
    async end() {
      stdin.end();
      await Promise.race([gone, sleep(END_TIME)]);
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function sleep(time: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, time).unref());
}
