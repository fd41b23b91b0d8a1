/** Limits of resources, tiny ones, one by one: the command runs as it does bare, or there is one line, 125 and nothing left. */

import {execFileSync} from 'node:child_process';
import {binary, fixture, test, useBench} from './helpers/jobbus.js';
import {eventually} from './helpers/processes.js';

useBench();

const TINY: Readonly<Record<string, readonly number[]>> = {
  nproc: [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30],
  nofile: [3, 4, 5, 6, 8, 10, 12, 13, 16, 20, 24, 32],
  fsize: [0, 1, 100, 4096],
  stack: [65_536, 131_072, 262_144],
  as: [100_000_000, 2_000_000_000, 3_000_000_000],
  data: [10_000_000, 2_000_000_000, 3_000_000_000],
  core: [0],
  memlock: [0],
  sigpending: [0],
  msgqueue: [0],
  rss: [0],
};

for (const [limit, values] of Object.entries(TINY)) {
  test.serial(`a tiny limit of ${limit}`, async t => {
    for (const value of values) {
      const {code, stdout, stderr} = await t.context.run([`--${limit}=${value}`, binary, '--', 'sh', '-c', 'exit 7'], {program: 'prlimit'});
      t.is(stdout, '', `${limit} ${value}`);
      // With so few files or processes, a shell itself may not start.
      const line = code === 7 ? /^$/ : /^jobbus-run: [^\n]+; [^\n]+\n$/;
      t.regex(stderr, line, `${limit} ${value}: ${code}`);
      t.true(code === 7 || code === 125, `${limit} ${value}: ${code}`);
    }
  });
}

test('where no file may be as large as what jobbus-run writes, the line says so, and not that the daemon died of its own log', async t => {
  for (const size of [0, 1, 512]) {
    const {code, stderr} = await t.context.run([`--fsize=${size}`, binary, '--dbus-daemon', fixture('dying-daemon'), '--config-file', '/dev/null', '--', 'true'], {program: 'prlimit'});
    t.regex(stderr, /^jobbus-run: making a session directory failed: \S+: no file may be so large \(ulimit -f\); [^\n]+\n$/, String(size));
    t.is(code, 125);
  }
});

test.serial('a command that has used up all processes and threads of its user gets its signals all the same, and its status is returned', async t => {
  const COUNT = 3000;
  const run = t.context.start(['--', fixture('tells-signals')]);
  const pid = Number((await run.line(/^ready \d+$/)).split(' ')[1]);
  execFileSync('prlimit', ['--pid', String(run.pid), '--nproc=1:1']);
  // The engine collects what is used up some times meanwhile.
  const values = Array.from({length: 100}, (_, index) => index);
  for (let told = 0; told < COUNT; told += values.length) {
    execFileSync(fixture('queues-values'), [run.pid, 50, ...values].map(String));
    await eventually(`${told + values.length} signals to be told`, () => run.output().split('\n').length - 2 >= told + values.length);
  }

  process.kill(pid, 'SIGKILL');
  t.like(await run.result, {code: 137, stderr: ''});
});
