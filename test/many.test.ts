import {existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, fixture, test, useBench} from './helpers/jobbus.js';
import {eventually, isRunning, viewProcess} from './helpers/processes.js';

useBench();

interface Told {
  readonly directory: string;
  readonly id: string;
}

/** What the fixture tells-session has said, in order. */
function told(output: string): Told[] {
  return Array.from(output.matchAll(/^session (\S+)\s+([0-9a-f]{32})\s*$/gm), ([, directory = '', id = '']) => ({directory, id}));
}

const MANY = 64;

test.serial('64 at once have 64 buses, and leave nothing', async t => {
  const go = join(t.context.base, 'go');
  const runs = Array.from({length: MANY}, (_, index) => t.context.start(['--', fixture('tells-session'), fixture('waits-for-file'), go, String(index)]));
  await Promise.all(runs.map(async run => eventually('a command to be ready', () => run.output().endsWith('ready\n'), 90_000)));
  t.is(t.context.sessions().length, MANY);
  writeFileSync(go, '');
  const results = await Promise.all(runs.map(async run => run.result));
  t.deepEqual(results.map(({code, stderr}) => ({code, stderr})), runs.map((_, code) => ({code, stderr: ''})));
  const sessions = results.flatMap(({stdout}) => told(stdout));
  t.is(new Set(sessions.map(({directory}) => directory)).size, MANY);
  t.is(new Set(sessions.map(({id}) => id)).size, MANY);
  t.deepEqual(t.context.sessions(), []);
});

test('the last run takes the common parent directory away', async t => {
  await t.context.run(['--', 'true']);
  t.false(existsSync(join(t.context.base, `jobbus-${process.getuid!()}`)));
});

// Without a base of their own, both go where most sessions go.
for (const [where, environment] of [['under one base', {}], ['under the usual base', {JOBBUS_RUNTIME_BASE: ''}]] as const) {
  test(`nested ${where}, there are two buses, and the inner path is no longer than the outer`, async t => {
    const nested = ['--', fixture('tells-session'), binary, '--', fixture('tells-session'), 'sh', '-c', 'exit 7'];
    const {code, stdout, stderr} = await t.context.run(nested, {environment});
    t.is(stderr, '');
    t.is(code, 7);
    const [outer, inner, ...more] = told(stdout) as [Told, Told, ...Told[]];
    t.is(more.length, 0);
    t.not(inner.id, outer.id);
    t.not(inner.directory, outer.directory);
    t.true(inner.directory.length <= outer.directory.length, stdout);
    t.false(existsSync(inner.directory) || existsSync(outer.directory));
  });
}

test('nested, a signal to the outer one reaches the command once', async t => {
  const run = t.context.start(['--', binary, '--', fixture('reports-signals')]);
  const pid = Number((await run.line(/^ready \d+$/)).split(' ')[1]);
  const sent: string[] = [];
  for (const signal of ['SIGTERM', 'SIGUSR1', 'SIGHUP', 'SIGINT', 'SIGUSR2'] as const) {
    process.kill(run.pid, signal);
    sent.push(signal);
    await eventually(`${signal} to be reported`, () => run.output().split('\n').length - 2 >= sent.length);
  }

  process.kill(pid, 'SIGKILL');
  const {code, stdout} = await run.result;
  t.is(code, 137);
  t.deepEqual(stdout.split('\n').slice(1, -1), sent);
});

test('an inner one that the command leaves behind ends in order, and takes its command with it', async t => {
  const go = join(t.context.base, 'go');
  const script = '"$0" -- "$1" "$2" & until [ -e "$2" ]; do sleep 0.02; done; exit 8';
  const run = t.context.start(['--', 'sh', '-c', script, binary, fixture('waits-for-term'), go]);
  const pid = Number((await run.line(/^ready \d+$/)).split(' ')[1]);
  const inner = viewProcess(pid)!.parent;
  writeFileSync(go, '');
  const {code, stdout} = await run.result;
  t.is(code, 8);
  t.regex(stdout, /^ended by TERM$/m, 'it had the time that TERM gives');
  t.false(isRunning(pid) || isRunning(inner));
});
