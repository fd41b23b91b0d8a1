/**
 * Counts lost and doubled signals: TRIES (1000) each by pid, by group, by the terminal's keys, and from pid to pid with gaps, to a command in our
 * process group and in its own, while all cores are busy. Run it as `node build/test/stress/exactly-once.js [TRIES [CASE]]`.
 */

import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {SENDERS, signalEach, startCounter, treeOf, type Counter} from '../helpers/counter.js';
import {startCounterIn, startTerminal} from '../helpers/terminal.js';
import {eventually} from '../helpers/processes.js';

/** Milliseconds that jobbus-run waits for a sender that goes from pid to pid. */
const LATE = 20;

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGCONT'] as const;

type Send = (signal: NodeJS.Signals, counter: Counter) => number;

const withGap = (gap: number): Send => (signal, {task}) => signalEach(signal, treeOf(task), gap);
const backwardsWithGap = (gap: number): Send => (signal, {task}) => signalEach(signal, treeOf(task).reverse(), gap);

const CASES: ReadonlyArray<readonly [name: string, ownGroup: boolean, send: Send]> = [
  ['pid', false, SENDERS['the pid']],
  ['group', false, SENDERS['the group']],
  ...[0, 1, 3].flatMap(gap => [
    [`tree, parents first, gap ${gap} ms`, false, withGap(gap)] as const,
    [`tree, children first, gap ${gap} ms`, false, backwardsWithGap(gap)] as const,
  ]),
  ['pid, own group', true, SENDERS['the pid']],
  ['group, own group', true, SENDERS['the group']],
  ['tree, own group, gap 0 ms', true, withGap(0)],
];

const tries = Number(process.argv[2] ?? 1000);
const base = mkdtempSync(join(tmpdir(), 'jbt-'));
const environment = {...process.env, JOBBUS_RUNTIME_BASE: base};
const burners = Array.from({length: availableParallelism()}, () => spawn('/bin/sh', ['-c', 'while :; do :; done']));
for (const [name, ownGroup, send] of CASES.filter(([name]) => name.includes(process.argv[3] ?? ''))) {
  const counter = await startCounter({wrapped: true, ownGroup, environment});
  let lost = 0;
  let doubled = 0;
  let late = 0;
  let doubledLate = 0;
  for (let attempt = 0; attempt < tries; attempt++) {
    const signal = SIGNALS[attempt % SIGNALS.length]!;
    const [before, settled] = [counter.count(signal), counter.settled(signal)];
    const isLate = send(signal, counter) > LATE;
    await eventually(`${signal} by ${name} to be dealt with`, () => counter.settled(signal) > settled);
    await counter.fence();
    const got = counter.count(signal) - before;
    lost += got === 0 ? 1 : 0;
    doubled += got > 1 ? 1 : 0;
    late += isLate ? 1 : 0;
    doubledLate += isLate && got > 1 ? 1 : 0;
  }

  await counter.end();
  console.log(`${name}: ${tries} tries, ${lost} lost, ${doubled} doubled; in ${late} the sender took more than ${LATE} ms, with ${doubledLate} of the doubled`);
}

if (process.argv[3] === undefined || process.argv[3] === 'terminal') {
  const job = await startCounterIn(await startTerminal(environment), true);
  const keys = [['SIGINT', 'C'], ['SIGQUIT', '\\'], ['SIGTSTP', 'Z']] as const;
  let doubled = 0;
  for (let attempt = 0; attempt < tries; attempt++) {
    const [signal, key] = keys[attempt % keys.length]!;
    const before = job.count(signal);
    job.terminal.press(key);
    await eventually(`${signal} to arrive`, () => job.count(signal) > before);
    await job.settle();
        doubled += job.count(signal) > before + 1 ? 1 : 0;
  }

  await job.end();
  console.log(`terminal: ${tries} tries, 0 lost, ${doubled} doubled`);
}

burners.forEach(burner => burner.kill());
rmSync(base, {recursive: true});
