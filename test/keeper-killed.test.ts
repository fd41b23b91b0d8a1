/** Whenever the keeper is killed, jobbus-run itself ends all that there is. */

import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {installInto} from './helpers/ground.js';
import {fixture, project, test, useBench, type Bench} from './helpers/jobbus.js';
import {eventually, isRunning} from './helpers/processes.js';
import {keeperOf, kill, markOf, nothingLeft, withEchoService, withService} from './helpers/sessions.js';

useBench();

const WRAPPED = ['fork', 'setsid', 'chdir', 'vdprintf', 'pipe2', 'poll', 'read', 'write', 'close'];

/** @returns the launcher of one whose keeper is killed where it is told to be */
function installMortal({base}: Bench): string {
  const launcher = installInto(join(base, 'install'));
  const wrap = `-Wl,${WRAPPED.map(name => `--wrap=${name}`).join(',')}`;
  execFileSync('node', ['frame.js', launcher, 'gcc', '-O1', '-static', 'fixtures/keeper-dies.c', wrap], {cwd: project});
  return launcher;
}

/** Beyond all that a keeper calls. */
const MOST_STEPS = 500;

test('killed before any step, from its first to its last, it leaves nothing', async t => {
  const program = installMortal(t.context);
  const statuses = new Map<number | null, number>();
  let next = 1;
  const walk = async (): Promise<void> => {
    for (let step = next++, isReached = true; isReached && step < MOST_STEPS; step = next++) {
      const [base, died, mark] = [join(t.context.base, `step-${step}`), join(t.context.base, `died-${step}`), markOf(t.context, step)];
      mkdirSync(base);
      const environment = {...withEchoService(t.context), JOBBUS_RUNTIME_BASE: base, JOBBUS_TEST_RUN: mark, KEEPER_DIES: String(step), KEEPER_DIED: died};
      const {code, stderr} = await t.context.run(['--', fixture('leaves-all'), '4'], {program, environment});
      isReached = existsSync(died);
      statuses.set(code, (statuses.get(code) ?? 0) + 1);
      t.true(code === 4 || (code === 125 && /^jobbus-run: .* failed: .*\n$/.test(stderr)), `${step}: ${code} ${stderr}`);
      await nothingLeft(`JOBBUS_TEST_RUN=${mark}`, base);
    }
  };
  await Promise.all([walk(), walk(), walk()]);
  t.log([...statuses].map(([code, count]) => `${count} × ${code}`).join(', '));
  t.true(next < MOST_STEPS);
  t.true((statuses.get(125) ?? 0) > 5 && (statuses.get(4) ?? 0) > 5);
});

test('what a service has left in the background is ended all the same', async t => {
  const file = join(t.context.base, 'pid');
  const call = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Service uint32:0';
  const environment = withService(t.context, 'org.example.Service', `${fixture('daemonising-service')} ${file}`);
  const run = t.context.start(['--', 'sh', '-c', `${call}; until [ -s ${file} ]; do sleep 0.02; done; echo ready; exec ${fixture('waits-for-term')}`], {environment});
  await run.line(/^ready$/);
  const keeper = await keeperOf(t.context);
  kill(keeper.pid);
  await eventually('the keeper to go', () => !isRunning(keeper.pid));
  const left = Number(readFileSync(file, 'utf8'));
  t.true(isRunning(left));
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).stderr, '');
  t.false(isRunning(left));
});
