import {existsSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {binary, fixture, test, useBench, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {eventually, isPending, isRunning, viewProcess} from './helpers/processes.js';
import {sentinelOf} from './helpers/sessions.js';

useBench();

const ENDING = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGIO', 'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

interface Held {
  readonly run: Run;
  /** Lets the step that is held go on. */
  readonly go: () => void;
}

/** Starts jobbus-run with a daemon or a Node that waits; returns once it does. */
async function held(bench: Bench, variable: 'JOBBUS_DBUS_DAEMON' | 'JOBBUS_NODE', name: string, {words = [], ...options}: StartOptions & {words?: readonly string[]} = {}): Promise<Held> {
  const reached = join(bench.base, 'reached');
  const go = join(bench.base, 'go');
  const environment = {[variable]: fixture(name), REACHED: reached, GO: go};
  const run = bench.start([...words, '--', 'echo', 'started'], {...options, environment});
  await eventually(`${name} to be reached`, () => existsSync(reached));
  return {run, go: () => writeFileSync(go, '')};
}

async function heldAtDaemon(bench: Bench): Promise<Held> {
  return held(bench, 'JOBBUS_DBUS_DAEMON', 'slow-daemon');
}

for (const signal of ENDING) {
  test(`${signal} while the daemon starts ends the run before the command`, async t => {
    const {run} = await heldAtDaemon(t.context);
    t.is(t.context.sessions().length, 1);
    process.kill(run.pid, signal);
    const {code, stdout, stderr} = await run.result;
    t.is(code, 128 + constants.signals[signal]);
    t.is(stdout + stderr, '');
  });
}

test('a second signal while an interrupted set-up is taken down changes nothing', async t => {
  const {run} = await held(t.context, 'JOBBUS_DBUS_DAEMON', 'silent-daemon');
  const sentinel = await eventually('the sentinel', () => sentinelOf(run.pid));
  process.kill(run.pid, 'SIGINT');
  await eventually('the end to begin', () => !isRunning(sentinel.pid));
  process.kill(run.pid, 'SIGTERM');
  process.kill(run.pid, 'SIGHUP');
  const {code, stdout, stderr} = await run.result;
  t.is(code, 130);
  t.is(stdout + stderr, '');
});

test('a signal to the process group during set-up ends the run before the command', async t => {
  const {run} = await held(t.context, 'JOBBUS_DBUS_DAEMON', 'slow-daemon', {detached: true});
  process.kill(-run.pid, 'SIGTERM');
  const {code, stdout, stderr} = await run.result;
  t.is(code, 143);
  t.is(stdout + stderr, '');
});

test('a daemon that ignores TERM does not hold up an interrupted set-up for ever', async t => {
  const {run} = await held(t.context, 'JOBBUS_DBUS_DAEMON', 'silent-daemon');
  process.kill(run.pid, 'SIGTERM');
  const {code, stdout, stderr} = await run.result;
  t.is(code, 143);
  t.is(stdout + stderr, '');
});

for (const [what, name] of [
  ['starts a process as it ends', 'parting-daemon'],
  ['starts a process for each that ends', 'replacing-daemon'],
] as const) {
  test(`a daemon that ${what} leaves none behind`, async t => {
    const {run} = await held(t.context, 'JOBBUS_DBUS_DAEMON', name);
    process.kill(run.pid, 'SIGTERM');
    t.like(await run.result, {code: 143, stdout: '', stderr: ''});
  });
}

test('CONT, WINCH and URG do nothing during set-up', async t => {
  const {run, go} = await heldAtDaemon(t.context);
  for (const signal of ['SIGCONT', 'SIGWINCH', 'SIGURG'] as const) {
    process.kill(run.pid, signal);
  }

  go();
  const {code, stdout, stderr} = await run.result;
  t.is(stderr, '');
  t.is(stdout, 'started\n');
  t.is(code, 0);
});

test('TSTP during set-up stops jobbus-run until CONT', async t => {
  const {run, go} = await heldAtDaemon(t.context);
  process.kill(run.pid, 'SIGTSTP');
  await eventually('jobbus-run to stop', () => viewProcess(run.pid)?.state === 'T');
  go();
  process.kill(run.pid, 'SIGCONT');
  const {code, stdout} = await run.result;
  t.is(stdout, 'started\n');
  t.is(code, 0);
});

test('a signal that the caller ignores ends no set-up', async t => {
  const {run, go} = await held(t.context, 'JOBBUS_DBUS_DAEMON', 'slow-daemon', {program: '/bin/sh', words: ['-c', 'trap "" HUP; exec "$0" "$@"', binary]});
  process.kill(run.pid, 'SIGHUP');
  go();
  const {code, stdout} = await run.result;
  t.is(stdout, 'started\n');
  t.is(code, 0);
});

test('a signal that the caller ignores, at every moment, does not end the command either', async t => {
  const {run, go} = await held(t.context, 'JOBBUS_DBUS_DAEMON', 'slow-daemon', {program: '/bin/sh', words: ['-c', 'trap "" HUP; exec "$0" "$@"', binary]});
  const storm = setInterval(() => process.kill(run.pid, 'SIGHUP'), 1);
  run.child.once('exit', () => clearInterval(storm));
  go();
  t.like(await run.result, {code: 0, stdout: 'started\n', stderr: ''});
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGUSR1'] as const) {
  test(`${signal} before Node has started ends the launcher, and leaves nothing`, async t => {
    const {run} = await held(t.context, 'JOBBUS_NODE', 'slow-node');
    process.kill(run.pid, signal);
    const result = await run.result;
    t.like(result, {code: null, signal, stdout: '', stderr: ''});
  });
}

/** Milliseconds: past the start of the command on a quiet machine, in steps that hit every part of the way. */
const MOMENTS = Array.from({length: 40}, (_, index) => index * 5);

test.serial('a signal at any moment ends the run with its status, and leaves nothing', async t => {
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const [index, moment] of MOMENTS.entries()) {
    const signal = signals[index % signals.length]!;
    const run = t.context.start(['--', 'sh', '-c', 'echo $$; exec tail -f /dev/null']);
    await new Promise(resolve => setTimeout(resolve, moment));
    process.kill(run.pid, signal);
    const {code, signal: death, stdout, stderr} = await run.result;
    t.is(stderr, '');
    t.is(death === null ? code : 128 + constants.signals[death], 128 + constants.signals[signal], `${signal} after ${moment} ms; stdout ${JSON.stringify(stdout)}`);
    t.false(stdout !== '' && isRunning(Number(stdout)), 'the command is gone');
  }
});

/** Ends with status 3 and leaves behind what makes the end take longer than a test may be held up on a busy machine. */
async function atSlowEnd(bench: Bench): Promise<Run> {
  const run = bench.start(['--verbose', '--stop-timeout', '8', '--', fixture('leaves-orphan'), '3']);
  await run.errorLine(/leaves-orphan ended with status 3/);
  return run;
}

for (const count of [1, 2]) {
  test(`${count} × TERM during the end changes neither the status nor what is cleaned`, async t => {
    const run = await atSlowEnd(t.context);
    for (let sent = 0; sent < count; sent++) {
      process.kill(run.pid, 'SIGTERM');
      // The second is one of its own only after the first has been taken.
      await eventually('TERM to be taken', () => !isPending(run.pid, 'SIGTERM'));
    }

    const {code, stderr} = await run.result;
    t.is(code, 3);
    t.regex(stderr, /ending 1 processes that the command has left/);
  });
}

test('every signal there is during the end changes neither the status nor what is cleaned', async t => {
  const run = await atSlowEnd(t.context);
  for (const signal of [...ENDING, 'SIGCONT', 'SIGWINCH', 'SIGURG', 'SIGTSTP'] as const) {
    process.kill(run.pid, signal);
  }

  t.is((await run.result).code, 3);
});
