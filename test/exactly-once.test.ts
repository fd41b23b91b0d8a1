/** Every signal reaches the command as often as it does without jobbus-run, whoever sends it and to whom. */

import {execFileSync, spawn} from 'node:child_process';
import {availableParallelism} from 'node:os';
import type {ExecutionContext} from 'ava';
import {test, useBench, type Bench} from './helpers/jobbus.js';
import {FORWARDED, QUICK, SENDERS, startCounter, type Counter, type CounterOptions, type Sender} from './helpers/counter.js';
import {childrenOf, eventually, isPending, viewProcess} from './helpers/processes.js';
import {sentinelOf} from './helpers/sessions.js';

useBench();

async function start(t: ExecutionContext<Bench>, options: Omit<CounterOptions, 'environment'>): Promise<Counter> {
  return startCounter({...options, environment: t.context.environment});
}

/** @returns how many of the signal the command gets from one send */
async function received(counter: Counter, signal: NodeJS.Signals, send: () => number): Promise<number> {
  for (;;) {
    const [before, settled] = [counter.count(signal), counter.settled(signal)];
    const time = send();
    await eventually(`${signal} to arrive`, () => counter.count(signal) > before);
    await eventually(`${signal} to be dealt with`, () => counter.task === counter.command || counter.settled(signal) > settled);
    await counter.fence();
    if (time <= QUICK) {
      return counter.count(signal) - before;
    }
  }
}

const once = Object.fromEntries(FORWARDED.map(signal => [signal, 1]));

async function receivedOfEach(counter: Counter, sender: Sender): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const signal of FORWARDED) {
    counts[signal] = await received(counter, signal, () => SENDERS[sender](signal, counter));
  }

  return counts;
}

for (const sender of Object.keys(SENDERS) as Sender[]) {
  test.serial(`each signal to ${sender} arrives once, as bare`, async t => {
    const bare = await start(t, {wrapped: false});
    t.deepEqual(await receivedOfEach(bare, sender), once);
    await bare.end();
    const wrapped = await start(t, {wrapped: true});
    t.deepEqual(await receivedOfEach(wrapped, sender), once);
    await wrapped.end();
  });

  test.serial(`each signal to ${sender} arrives once at a command in a group of its own`, async t => {
    const counter = await start(t, {wrapped: true, ownGroup: true});
    t.not(viewProcess(counter.command)?.group, viewProcess(counter.task)?.group);
    t.deepEqual(await receivedOfEach(counter, sender), once);
    await counter.end();
  });
}

for (const signals of [FORWARDED.slice(0, 5), FORWARDED.slice(5, 10), FORWARDED.slice(10)]) {
  test.serial(`timeout, which signals the pid and then the group, is not made more: ${signals.join(' ')}`, async t => {
    await Promise.all(signals.map(async signal => {
      const prefix = ['timeout', '-s', signal.slice(3), '1000'];
      const counters = await Promise.all([false, true].map(async wrapped => start(t, {wrapped, prefix})));
      // Its timer's signal: what it does when the time is over, it does now.
      counters.forEach(({child}) => child.kill('SIGALRM'));
      // At its end it sends CONT, which takes back a TSTP that has not been seen yet.
      await Promise.all(counters.map(async counter => eventually('CONT from timeout', () => counter.count('SIGCONT') > 0)));
      await settleAll(counters[1]!);
      for (const counter of counters) {
        await counter.fence();
        // Two signals that are pending at once are one.
        t.true(counter.count(signal) >= (signal === 'SIGTSTP' ? 0 : 1) && counter.count(signal) <= 2, `${signal}: ${counter.count(signal)}`);
        await counter.end();
      }
    }));
  });
}

/** A signal of another kind to the pid comes through when all before it has been dealt with. */
async function settleAll(counter: Counter): Promise<void> {
  const before = counter.settled('SIGWINCH');
  process.kill(counter.task, 'SIGWINCH');
  await eventually('the last signal to be dealt with', () => counter.settled('SIGWINCH') > before);
  await counter.fence();
}

test.serial('two TERM to the pid are two', async t => {
  const counter = await start(t, {wrapped: true});
  process.kill(counter.task, 'SIGTERM');
  await eventually('the first to be taken', () => !isPending(counter.task, 'SIGTERM'));
  process.kill(counter.task, 'SIGTERM');
  await eventually('both to be dealt with', () => counter.settled('SIGTERM') === 2);
  await counter.fence();
  // A command that has not run meanwhile gets one, as bare.
  t.true([1, 2].includes(counter.count('SIGTERM')));
  await counter.end();
});

test.serial('a TSTP to the group that CONT takes back before the sentinel has seen it does not come to the command behind that', async t => {
  const counter = await start(t, {wrapped: true});
  const sentinel = sentinelOf(counter.task)!;
  await stop(sentinel.pid);
  process.kill(-counter.task, 'SIGTSTP');
  await eventually('TSTP to be taken by all others', () => counter.count('SIGTSTP') === 1 && !isPending(counter.task, 'SIGTSTP'));
  process.kill(-counter.task, 'SIGCONT');
  await eventually('TSTP to be dealt with', () => counter.settled('SIGTSTP') === 1);
  await settleAll(counter);
  t.deepEqual([counter.count('SIGTSTP'), counter.count('SIGCONT')], [1, 1]);
  await counter.end();
});

test.serial('two TERM to the group that jobbus-run takes as one, and its sentinel as two, do not swallow one to the pid behind them', async t => {
  const counter = await start(t, {wrapped: true});
  const sentinel = sentinelOf(counter.task)!;
  await stop(counter.task);
  process.kill(-counter.task, 'SIGTERM');
  await eventually('the sentinel to have said so', () => !isPending(sentinel.pid, 'SIGTERM') && viewProcess(sentinel.pid)?.state === 'S');
  await stop(sentinel.pid);
  process.kill(-counter.task, 'SIGTERM');
  process.kill(counter.task, 'SIGCONT');
  await eventually('jobbus-run to take both', () => !isPending(counter.task, 'SIGTERM'));
  process.kill(sentinel.pid, 'SIGCONT');
  await settleAll(counter);
  t.is(counter.settled('SIGTERM'), 1);
  t.is(await received(counter, 'SIGTERM', () => SENDERS['the pid']('SIGTERM', counter)), 1);
  await counter.end();
});

test.serial('two HUP to the group by two senders, of which the sentinel hears one, are two', async t => {
  const counter = await start(t, {wrapped: true});
  const sentinel = sentinelOf(counter.task)!;
  await stop(sentinel.pid);
  for (const goal of [1, 2]) {
    execFileSync('/bin/kill', ['-HUP', '--', String(-counter.task)]);
    await eventually('HUP to be taken by all others', () => counter.count('SIGHUP') === goal && !isPending(counter.task, 'SIGHUP'));
  }

  process.kill(sentinel.pid, 'SIGCONT');
  await eventually('both to be dealt with', () => counter.settled('SIGHUP') === 2);
  await settleAll(counter);
  t.is(counter.count('SIGHUP'), 2);
  await counter.end();
});

/** As one that gets no processor. */
async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await eventually('it to stop', () => viewProcess(pid)?.state === 'T');
}

for (const gap of [0, 5, 10, 15, 20]) {
  test.serial(`two TERM to the group, ${gap} ms apart, and then one to the pid`, async t => {
    const counter = await start(t, {wrapped: true});
    process.kill(-counter.task, 'SIGTERM');
    await new Promise(resolve => setTimeout(resolve, gap));
    process.kill(-counter.task, 'SIGTERM');
    await settleAll(counter);
    const direct = counter.count('SIGTERM');
    t.true([1, 2].includes(direct), `${direct} times`);
    t.is(await received(counter, 'SIGTERM', () => SENDERS['the pid']('SIGTERM', counter)), 1);
    await counter.end();
  });
}

/** Milliseconds: more than LEAD_TIME in src/sentinel.ts, within which a sender that has signalled the tree may go on to us. */
const LEAD_TIME = 300;

async function passLeadTime(counter: Counter): Promise<void> {
  await settleAll(counter);
  await new Promise(resolve => setTimeout(resolve, LEAD_TIME));
}

test.serial('the sentinel signalled alone forwards nothing, and swallows nothing', async t => {
  const counter = await start(t, {wrapped: true});
  const sentinel = sentinelOf(counter.task)!;
  process.kill(sentinel.pid, 'SIGTERM');
  await passLeadTime(counter);
  t.is(counter.count('SIGTERM'), 0);
  t.is(await received(counter, 'SIGTERM', () => SENDERS['the pid']('SIGTERM', counter)), 1);
  await counter.end();
});

test.serial('a signal to the children alone, as of pkill -P, swallows none that comes later', async t => {
  const counter = await start(t, {wrapped: true});
  for (const {pid} of childrenOf(counter.task)) {
    process.kill(pid, 'SIGTERM');
  }

  await passLeadTime(counter);
  t.is(counter.count('SIGTERM'), 1);
  t.is(await received(counter, 'SIGTERM', () => SENDERS['the pid']('SIGTERM', counter)), 1);
  await counter.end();
});

test.serial('with all cores busy, too', async t => {
  const burners = Array.from({length: availableParallelism()}, () => spawn('/bin/sh', ['-c', 'while :; do :; done']));
  try {
    const counter = await start(t, {wrapped: true});
    for (const sender of ['the pid', 'the group'] as const) {
      t.deepEqual(await receivedOfEach(counter, sender), once);
    }

    await counter.end();
  } finally {
    burners.forEach(burner => burner.kill());
  }
});
