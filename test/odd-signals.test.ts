/** Signals that come in odd ways: from the kernel alone, to the children and not to us, before we are what we are. */

import {execFileSync} from 'node:child_process';
import {startCounter} from './helpers/counter.js';
import {binary, fixture, test, useBench} from './helpers/jobbus.js';
import {childrenOf, eventually} from './helpers/processes.js';

useBench();

// Ten seconds, in which the command is there however busy the machine: before, it would end the run, as it would the command.
test('an alarm that was set before jobbus-run was executed reaches the command, once', async t => {
  const run = t.context.start(['-e', 'alarm 10; exec @ARGV or die', binary, '--', fixture('tells-signals')], {program: 'perl'});
  const pid = Number((await run.line(/^ready \d+$/)).split(' ')[1]);
  await run.line(/^14$/);
  process.kill(run.pid, 'SIGUSR1');
  await run.line(/^10$/);
  t.deepEqual(run.output().split('\n').slice(1, -1), ['14', '10']);
  process.kill(pid, 'SIGKILL');
  t.like(await run.result, {code: 137, stderr: ''});
});

test('TERM to the children, and a second later to jobbus-run, is two for the command', async t => {
  const counter = await startCounter({wrapped: true, environment: t.context.environment});
  execFileSync(fixture('signal-each'), ['TERM', '0', ...childrenOf(counter.task).map(({pid}) => String(pid))]);
  await counter.fence();
  t.is(counter.count('SIGTERM'), 1);
  // Longer than any sender needs to go from one to the other: what is measured is that nothing is held back for so long.
  await new Promise(resolve => setTimeout(resolve, 1000));
  process.kill(counter.task, 'SIGTERM');
  await eventually('the second TERM', () => counter.settled('SIGTERM') > 0);
  await counter.fence();
  t.is(counter.count('SIGTERM'), 2);
  await counter.end();
});
