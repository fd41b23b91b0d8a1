/** Each signal that can be had reaches the command, at every moment, in order and with its value; or the exit status accounts for it. */

import {execFileSync} from 'node:child_process';
import {constants} from 'node:os';
import {isDeepStrictEqual} from 'node:util';
import {startCounter} from './helpers/counter.js';
import {isJobbusRun} from './helpers/ground.js';
import {binary, fixture, test, useBench, type Run} from './helpers/jobbus.js';
import {eventually, processesWith} from './helpers/processes.js';

useBench();

const [KILL, USR1, STOP, STKFLT, FIRST_REALTIME, LAST] = [9, 10, 19, 16, 34, 64];

/** The C library's own; and those that tell of a fault. */
const NOT_TO_BE_HAD = [KILL, STOP, 32, 33, 4, 5, 6, 7, 8, 11, 31];

const realtime = Array.from({length: LAST + 1 - FIRST_REALTIME}, (_, index) => FIRST_REALTIME + index);

/** What the command has been told, without its first line. */
function told(run: Run): string[] {
  return run.output().split('\n').slice(1, -1);
}

async function readyPid(run: Run): Promise<number> {
  return Number((await run.line(/^ready \d+$/)).split(' ')[1]);
}

test('real-time signals and STKFLT reach the command in order, with the values that they were queued with', async t => {
  const run = t.context.start(['--', fixture('tells-signals')]);
  const pid = await readyPid(run);
  const wanted: string[] = [];
  for (const number of [FIRST_REALTIME, 50, LAST, STKFLT]) {
    // Of a standard signal that is pending, a second is none.
    const values = number === STKFLT ? [5] : [3, 1, 2];
    execFileSync(fixture('queues-values'), [run.pid, number, ...values].map(String));
    wanted.push(...values.map(value => `${number} ${value}`));
    await eventually(`${number} to be told`, () => told(run).length >= wanted.length);
  }

  process.kill(run.pid, USR1);
  await run.line(/^10$/);
  t.deepEqual(told(run), [...wanted, '10']);
  process.kill(pid, 'SIGKILL');
  t.like(await run.result, {code: 137, stderr: ''});
});

test('a command that dies of a real-time signal n gives 128+n', async t => {
  for (let batch = realtime; batch.length > 0; batch = batch.slice(8)) {
    await Promise.all(batch.slice(0, 8).map(async number => {
      const {code, stderr} = await t.context.run(['--', fixture('dies-of-signal'), String(number)]);
      t.deepEqual({number, code, stderr}, {number, code: 128 + number, stderr: ''});
    }));
  }
});

test("a fault's signal that somebody sends ends jobbus-run as it ends any program, and nothing is left", async t => {
  for (const number of [4, 5, 6, 7, 8, 11, 31]) {
    const run = t.context.start(['--', fixture('tells-signals')]);
    await readyPid(run);
    process.kill(run.pid, number);
    const {code, signal, stderr} = await run.result;
    t.deepEqual({code, signal: signal && constants.signals[signal], stderr}, {code: null, signal: number, stderr: ''});
    await t.context.assertNothingLeft();
  }
});

test("the C library's own signals end jobbus-run, too", async t => {
  for (const number of [32, 33]) {
    const run = t.context.start(['-c', '"$@"; echo "status $?"', 'sh', binary, '--', fixture('tells-signals')], {program: '/bin/sh'});
    await readyPid(run);
    process.kill(processesWith(t.context.mark).find(isJobbusRun)!.pid, number);
    t.regex((await run.result).stdout, new RegExp(`^status ${128 + number}$`, 'm'));
    await t.context.assertNothingLeft();
  }
});

test('after a second without anything to do, no signal is lost and none ends jobbus-run', async t => {
  const run = t.context.start(['--', fixture('tells-signals')]);
  const pid = await readyPid(run);
  await new Promise(resolve => setTimeout(resolve, 1000));
  const numbers = Array.from({length: LAST}, (_, index) => index + 1).filter(number => !NOT_TO_BE_HAD.includes(number));
  for (const [index, number] of numbers.entries()) {
    process.kill(run.pid, number);
    await eventually(`${number} to be told`, () => told(run).length > index);
  }

  t.deepEqual(told(run), numbers.map(String));
  process.kill(pid, 'SIGKILL');
  t.like(await run.result, {code: 137, stderr: ''});
});

/** More by JOBBUS_TEST_STARTS. */
const STARTS = Number(process.env.JOBBUS_TEST_STARTS ?? 100);

/** Milliseconds, in which jobbus-run starts. */
const START_TIME = 50;

test('of a signal in the first moments, the command or the status tells', async t => {
  t.timeout(STARTS * 2000);
  for (let start = 0; start < STARTS; start++) {
    const run = t.context.start(['--', fixture('tells-signals')]);
    await new Promise(resolve => setTimeout(resolve, (start % 10) * START_TIME / 10));
    process.kill(run.pid, USR1);
    const isReported = async (): Promise<'command'> => run.line(/^10$/).then(() => 'command' as const);
    // While python starts, it ends the command, as it would bare.
    const teller = await Promise.race([isReported(), run.result.then(() => 'status' as const)]);
    if (teller === 'command') {
      process.kill(await readyPid(run), 'SIGKILL');
    }

    const {code, signal, stderr} = await run.result;
    t.is(stderr, '');
    // Before its first instruction, it dies as any program would.
    t.is(signal === 'SIGUSR1' ? 128 + USR1 : code, teller === 'command' ? 137 : 128 + USR1);
  }
});

/** Of a process that gets no processor in between, the kernel itself drops a pending TSTP for a CONT, and two of a signal are one. */
const ATTEMPTS = 5;

function countsOf<Name extends string>(names: readonly Name[], count: (name: Name) => number): Record<string, number> {
  return Object.fromEntries(names.map(name => [name, count(name)]));
}

/** To the pid, a CONT takes back a TSTP of a moment ago, which has not been forwarded yet. */
for (const [sequence, gap, targets] of [
  [['CONT', 'TERM'], 1, ['the group', 'the pid']],
  [['TERM', 'CONT'], 1, ['the group', 'the pid']],
  [['TSTP', 'CONT'], 5, ['the group']],
  [['CONT', 'TSTP', 'CONT'], 5, ['the group']],
] as const) {
  for (const target of targets) {
    test(`${sequence.join(' and ')} ${gap} ms apart to ${target} arrive as bare`, async t => {
      const sent = countsOf(sequence, name => sequence.filter(each => each === name).length);
      for (const wrapped of [false, true]) {
        let counts: Record<string, number> = {};
        for (let attempt = 0; attempt < ATTEMPTS && !isDeepStrictEqual(counts, sent); attempt++) {
          const counter = await startCounter({wrapped, environment: t.context.environment});
          execFileSync(fixture('signals-in-turn'), [String(target === 'the group' ? -counter.task : counter.task), String(gap), ...sequence]);
          // What is behind them all.
          process.kill(counter.task, 'SIGURG');
          await eventually('URG to arrive', () => counter.count('SIGURG') > 0);
          await counter.fence();
          counts = countsOf(sequence, name => counter.count(`SIG${name}`));
          await counter.end();
          t.true(sequence.every(name => counts[name]! <= sent[name]!), JSON.stringify(counts));
        }

        t.deepEqual(counts, sent);
      }
    });
  }
}
