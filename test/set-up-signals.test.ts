import {existsSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {binary, fixture, test, useBench, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {childrenOf, eventually, isPending, isRunning, viewProcess} from './helpers/processes.js';

useBench();

const ENDING = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGIO', 'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

interface Held {
  readonly run: Run;
  /** Lets the step that is held go on. */
  readonly go: () => void;
}

/** Starts jobbus-run with a daemon that waits; returns once it does. */
async function held(bench: Bench, name: string, {words = [], ...options}: StartOptions & {words?: readonly string[]} = {}): Promise<Held> {
  const reached = join(bench.base, 'reached');
  const go = join(bench.base, 'go');
  const environment = {JOBBUS_DBUS_DAEMON: fixture(name), REACHED: reached, GO: go};
  const run = bench.start([...words, '--', 'echo', 'started'], {...options, environment});
  await eventually(`${name} to be reached`, () => existsSync(reached));
  return {run, go: () => writeFileSync(go, '')};
}

async function heldAtDaemon(bench: Bench): Promise<Held> {
  return held(bench, 'slow-daemon');
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
  const {run} = await held(t.context, 'silent-daemon');
  process.kill(run.pid, 'SIGINT');
  // From then on it ends; the daemon, which ignores TERM, takes a second.
  await eventually('the signal to be taken', () => !isPending(run.pid, 'SIGINT'));
  process.kill(run.pid, 'SIGTERM');
  process.kill(run.pid, 'SIGHUP');
  const {code, stdout, stderr} = await run.result;
  t.is(code, 130);
  t.is(stdout + stderr, '');
});

test('a signal to the process group during set-up ends the run before the command', async t => {
  const {run} = await held(t.context, 'slow-daemon', {detached: true});
  process.kill(-run.pid, 'SIGTERM');
  const {code, stdout, stderr} = await run.result;
  t.is(code, 143);
  t.is(stdout + stderr, '');
});

test('a daemon that ignores TERM does not hold up an interrupted set-up for ever', async t => {
  const {run} = await held(t.context, 'silent-daemon');
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
    const {run} = await held(t.context, name);
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

/** Perl that runs a program in a process group of its own, which is not orphaned: there, the kernel drops a TSTP, and a suite may be started in one that is. */
const IN_GROUP = 'my $pid = fork; if (!$pid) { setpgrp; exec @ARGV } waitpid $pid, 0; exit $? >> 8';

test('TSTP during set-up stops jobbus-run until CONT', async t => {
  const {run, go} = await held(t.context, 'slow-daemon', {program: 'perl', words: ['-e', IN_GROUP, binary]});
  const {pid} = childrenOf(run.pid)[0]!;
  process.kill(pid, 'SIGTSTP');
  await eventually('jobbus-run to stop', () => viewProcess(pid)?.state === 'T');
  go();
  process.kill(pid, 'SIGCONT');
  const {code, stdout} = await run.result;
  t.is(stdout, 'started\n');
  t.is(code, 0);
});

test('a signal that the caller ignores ends no set-up', async t => {
  const {run, go} = await held(t.context, 'slow-daemon', {program: '/bin/sh', words: ['-c', 'trap "" HUP; exec "$0" "$@"', binary]});
  process.kill(run.pid, 'SIGHUP');
  go();
  const {code, stdout} = await run.result;
  t.is(stdout, 'started\n');
  t.is(code, 0);
});

test('a signal that the caller ignores, at every moment, does not end the command either', async t => {
  const {run, go} = await held(t.context, 'slow-daemon', {program: '/bin/sh', words: ['-c', 'trap "" HUP; exec "$0" "$@"', binary]});
  const storm = setInterval(() => process.kill(run.pid, 'SIGHUP'), 1);
  run.child.once('exit', () => clearInterval(storm));
  go();
  t.like(await run.result, {code: 0, stdout: 'started\n', stderr: ''});
});

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
    t.regex(stderr, /ending (1 processes that the command has left|tail, process \d+, which is left)/);
  });
}

test('every signal there is during the end changes neither the status nor what is cleaned', async t => {
  const run = await atSlowEnd(t.context);
  for (const signal of [...ENDING, 'SIGCONT', 'SIGWINCH', 'SIGURG', 'SIGTSTP'] as const) {
    process.kill(run.pid, signal);
  }

  t.is((await run.result).code, 3);
});
