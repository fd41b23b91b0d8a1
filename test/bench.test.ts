/** The bench prints no number for what has failed: neither for a tool that is missing, nor for a command that fails. */

import {existsSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';

useBench();

/** In the test's own directory, where it would write its result. */
async function bench({run, base}: Bench, environment: Readonly<Record<string, string>>): Promise<Result> {
  return run([join(project, 'build/test/bench/bench.js')], {program: process.execPath, cwd: base, environment: {...environment, JOBBUS_BENCH_ROUNDS: '2', TMPDIR: base}});
}

test('without a tool, the bench says which, and fails', async t => {
  const {code, stdout, stderr} = await bench(t.context, {JOBBUS_BENCH_PATH: '/nonexistent'});
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /^The bench has failed, and prints no number: it needs dbus-daemon, which is not in \/nonexistent; install it/);
  t.false(existsSync(join(t.context.base, 'bench.json')));
});

test('with a command that fails, the bench says which, and fails', async t => {
  const {code, stdout, stderr} = await bench(t.context, {JOBBUS_BENCH_BINARY: '/bin/false'});
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /^The bench has failed, and prints no number: \/bin\/false -- true failed with status 1/);
  t.deepEqual(readdirSync(t.context.base), [], 'no result, and nothing left of its own directory');
});
