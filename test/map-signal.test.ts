/** With --map-signal, what comes as one signal reaches the command as another, or not at all. */

import {execFileSync} from 'node:child_process';
import {existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {eventually, isPending, viewProcess} from './helpers/processes.js';
import {fence, saversOf} from './helpers/savers.js';

useBench();

async function started(bench: Bench, options: readonly string[], words: readonly string[]): Promise<{run: Run; pid: number}> {
  const run = bench.start([...options, '--', ...words], {detached: true});
  return {run, pid: Number((await run.line(/^ready \d+$/)).split(' ')[1])};
}

test('USR1 comes as TERM, TERM as the queued value of a real-time signal, USR2 not at all, and all others as themselves', async t => {
  const {run, pid} = await started(t.context, ['-v', '--map-signal', 'USR1:SIGTERM', '--map-signal', 'RTMIN+1:RTMAX-4', '--map-signal', '12:', '--map-signal=hup:usr1', '--map-signal', 'PROF:WINCH'], [fixture('tells-signals')]);
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGINT', 'SIGPROF'] as const) {
    process.kill(run.pid, signal);
    await run.errorLine(new RegExp(`^jobbus-run: ${signal} `));
  }

  execFileSync(fixture('queues-values'), [String(run.pid), '35', '7']);
  await run.line(/^60 7$/);
  t.deepEqual(run.output().split('\n').slice(1, -1), ['15', '10', '2', '28', '60 7']);
  t.regex(run.errors(), /^jobbus-run: SIGUSR1 forwarded to the command as SIGTERM$/m);
  t.regex(run.errors(), /^jobbus-run: SIGUSR2 is dropped, as --map-signal asks$/m);
  process.kill(pid, 'SIGKILL');
  t.is((await run.result).code, 137);
});

test('two are two: what a signal is mapped to is forwarded as often as the signal comes', async t => {
  const {run, pid} = await started(t.context, ['-v', '--map-signal', 'USR1:TERM'], [fixture('tells-signals')]);
  for (const count of [1, 2]) {
    process.kill(run.pid, 'SIGUSR1');
    await eventually('it to come', () => run.output().split('\n').filter(line => line === '15').length === count);
  }

  process.kill(pid, 'SIGKILL');
  t.is((await run.result).code, 137);
});

test('what came to the whole group has reached the command by itself, and comes as the other, too', async t => {
  const {run, pid} = await started(t.context, ['--map-signal', 'USR1:TERM'], [fixture('tells-signals')]);
  process.kill(-run.pid, 'SIGUSR1');
  await run.line(/^15$/);
  t.deepEqual(run.output().split('\n').slice(1, -1), ['10', '15']);
  process.kill(pid, 'SIGKILL');
  t.is((await run.result).code, 137);
});

test('--kill-after counts from what the command gets', async t => {
  const asked = await started(t.context, ['--map-signal', 'USR1:TERM', '--kill-after', '0.2'], [fixture('ignores-term')]);
  process.kill(asked.run.pid, 'SIGUSR1');
  t.is((await asked.run.result).code, 137);

  const unasked = await started(t.context, ['-v', '--map-signal', 'TERM:USR2', '--map-signal', 'INT:', '--kill-after', '0'], [fixture('tells-signals')]);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGUSR1'] as const) {
    process.kill(unasked.run.pid, signal);
    await unasked.run.errorLine(new RegExp(`^jobbus-run: ${signal} `));
  }

  await unasked.run.line(/^10$/);
  process.kill(unasked.run.pid, 'SIGHUP');
  t.is((await unasked.run.result).code, 137);
  t.deepEqual(unasked.run.output().split('\n').slice(1, 3), ['12', '10']);
});

test('to KILL and to STOP, too', async t => {
  const {run, pid} = await started(t.context, ['--map-signal', 'USR1:STOP', '--map-signal', 'USR2:KILL'], [fixture('tells-signals')]);
  process.kill(run.pid, 'SIGUSR1');
  await eventually('it to stop', () => viewProcess(pid)?.state === 'T');
  process.kill(run.pid, 'SIGUSR2');
  t.is((await run.result).code, 137);
});

test('with --signal-all, all of the tree gets what the signal is mapped to, once', async t => {
  const savers = saversOf(t.context);
  const run = t.context.start(['--signal-all', '--map-signal', 'USR1:TERM', '--stop-timeout', '60', '--', 'sh', '-c', `${savers.words('near')} & setsid ${savers.words('far')} & wait`]);
  const all = {near: await savers.ready(run, 'near'), far: await savers.ready(run, 'far')};
  process.kill(run.pid, 'SIGUSR1');
  await Promise.all([run.line(/^near SIGTERM /), run.line(/^far SIGTERM /)]);
  await fence(run, all);
  savers.go();
  t.like(await run.result, {code: 143, stderr: ''});
  t.deepEqual([all.near.signals(), all.far.signals()], [['SIGTERM', 'saved'], ['SIGTERM', 'saved']]);
});

for (const [pair, signal, status] of [['TERM:', 'SIGTERM', 0], ['USR1:WINCH', 'SIGUSR1', 0], ['WINCH:TERM', 'SIGWINCH', 143]] as const) {
  test(`before there is a command, ${signal} counts with ${pair} as what it is mapped to`, async t => {
    const [reached, go] = [join(t.context.base, 'reached'), join(t.context.base, 'go')];
    const environment = {JOBBUS_DBUS_DAEMON: fixture('slow-daemon'), REACHED: reached, GO: go};
    const run = t.context.start(['-v', '--map-signal', pair, '--', 'echo', 'started'], {environment});
    await eventually('the daemon to start', () => existsSync(reached));
    process.kill(run.pid, signal);
    if (status === 0) {
      await eventually('it to be taken', () => !isPending(run.pid, signal));
      writeFileSync(go, '');
    }

    const {code, stdout} = await run.result;
    t.deepEqual([code, stdout], [status, status === 0 ? 'started\n' : '']);
  });
}

for (const pair of ['FOO:TERM', 'KILL:TERM', 'SIGSTOP:TERM', 'USR1']) {
  test(`--map-signal ${pair}: one line, 125, and nothing started`, async t => {
    const {code, stdout, stderr} = await t.context.run(['--map-signal', pair, '--', 'echo', 'started']);
    t.deepEqual([code, stdout], [125, '']);
    t.regex(stderr, /^jobbus-run: option --map-signal [^\n]+; see jobbus-run --help\n$/);
  });
}
