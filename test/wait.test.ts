/** With --wait, the session ends with the last process of the command's tree. */

import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {QUICK, signalEach, treeOf} from './helpers/counter.js';
import {binary, fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {childrenOf, eventually, isRunning, viewProcess} from './helpers/processes.js';
import {fence, saversOf, type Saver, type Savers} from './helpers/savers.js';
import {withEchoService} from './helpers/sessions.js';
import {startTerminal} from './helpers/terminal.js';

useBench();

interface Left {
  readonly run: Run;
  readonly savers: Savers;
  readonly all: Readonly<Record<string, Saver>>;
}

/** A command that has ended with the status 5, and left one process in our group and one outside. */
async function leaving(bench: Bench, options: readonly string[] = []): Promise<Left> {
  const savers = saversOf(bench);
  const run = bench.start(['-v', '--wait', ...options, '--', 'sh', '-c', `${savers.words('near')} & setsid ${savers.words('far')} & exit 5`], {detached: true});
  const all = {near: await savers.ready(run, 'near'), far: await savers.ready(run, 'far')};
  await run.errorLine(/^jobbus-run: sh ended with status 5$/);
  return {run, savers, all};
}

test('what the command leaves goes on, with its bus, and its grandchildren; the status is the command\'s', async t => {
  const file = join(t.context.base, 'file');
  const last = `sh -c 'sleep 0.2; dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId >${file}'`;
  const {code, stdout, stderr} = await t.context.run(['--wait', '--', 'sh', '-c', `(sleep 0.2; setsid ${last} &) & exit 5`]);
  t.deepEqual([code, stdout, stderr], [5, '', '']);
  t.regex(readFileSync(file, 'utf8'), /^\s*[0-9a-f]{32}\s*$/);
});

test('a command that leaves nothing ends the session', async t => {
  t.like(await t.context.run(['--wait', '--', 'sh', '-c', 'exit 3']), {code: 3, stderr: ''});
});

test('services of the bus do not count', async t => {
  const call = 'dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Echo uint32:0';
  t.like(await t.context.run(['--wait', '--', 'sh', '-c', `${call}; exit 0`], {environment: withEchoService(t.context)}), {code: 0, stderr: ''});
});

test('nor do another job\'s processes', async t => {
  const run = t.context.start(['--wait', '--', fixture('leaves-job'), '2'], {environment: {SLURM_JOB_ID: '1'}});
  const pid = Number((await run.line(/^job \d+$/)).split(' ')[1]);
  t.like(await run.result, {code: 5, stderr: ''});
  t.true(isRunning(pid));
  process.kill(pid, 'SIGKILL');
});

for (const [sender, pids] of [['the pid', (pid: number) => [pid]], ['the group', (pid: number) => [-pid]], ['the tree', treeOf]] as const) {
  test(`behind the command's end, a TERM to ${sender} reaches all that is left once, and the exit waits for it`, async t => {
    for (let time = Infinity; time > QUICK;) {
      const {run, savers, all} = await leaving(t.context);
      time = signalEach('SIGTERM', pids(run.pid));
      await run.errorLine(/^jobbus-run: SIGTERM /);
      await fence(run, all);
      savers.go();
      t.is((await run.result).code, 5);
      if (time <= QUICK) {
        t.deepEqual([all.near!.signals(), all.far!.signals()], [['SIGTERM', 'saved'], ['SIGTERM', 'saved']]);
      }
    }
  });

  test(`a TERM to ${sender} that ends the command asks the rest, too, each once`, async t => {
    for (let time = Infinity; time > QUICK;) {
      const savers = saversOf(t.context);
      const run = t.context.start(['-v', '--wait', '--', 'sh', '-c', `${savers.words('near')} & setsid ${savers.words('far')} & wait`], {detached: true});
      const all = {near: await savers.ready(run, 'near'), far: await savers.ready(run, 'far')};
      time = signalEach('SIGTERM', pids(run.pid));
      await Promise.all([run.line(/^near SIGTERM /), run.line(/^far SIGTERM /), run.errorLine(/^jobbus-run: SIGTERM /)]);
      await fence(run, all);
      savers.go();
      t.is((await run.result).code, 143);
      if (time <= QUICK) {
        t.deepEqual([all.near.signals(), all.far.signals()], [['SIGTERM', 'saved'], ['SIGTERM', 'saved']]);
      }
    }
  });
}

test('while the command runs, a signal that does not ask for the end is the command\'s alone', async t => {
  const savers = saversOf(t.context);
  const run = t.context.start(['-v', '--wait', '--', 'sh', '-c', `trap 'exit 6' USR1; ${savers.words('near')} & wait`]);
  const near = await savers.ready(run, 'near');
  process.kill(run.pid, 'SIGUSR1');
  await run.errorLine(/^jobbus-run: sh ended with status 6$/);
  process.kill(run.pid, 'SIGHUP');
  await run.line(/^near SIGHUP /);
  savers.go();
  t.is((await run.result).code, 6);
  t.deepEqual(near.signals(), ['SIGHUP', 'saved']);
});

test('--kill-after ends the waiting, and --stop-timeout is for those that are left then', async t => {
  const {run, all} = await leaving(t.context, ['--kill-after', '0.2', '--stop-timeout', '0.2']);
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).code, 5);
  t.deepEqual([all.near!.signals(), all.far!.signals()], [['SIGTERM'], ['SIGTERM']]);
});

test('killed while it waits, it leaves nothing', async t => {
  const {run} = await leaving(t.context);
  process.kill(run.pid, 'SIGKILL');
  t.is((await run.result).signal, 'SIGKILL');
  await t.context.assertNothingLeft();
});

test('while it waits it sleeps: it wakes up for a child that ends, and for nothing else', async t => {
  const {run, savers, all} = await leaving(t.context);
  const wakes = (): number => Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(readFileSync(`/proc/${run.pid}/status`, 'utf8'))![1]);
  // Behind the looks at the command's group.
  await new Promise(resolve => setTimeout(resolve, 1200));
  const before = wakes();
  await new Promise(resolve => setTimeout(resolve, 1500));
  t.is(wakes(), before);
  savers.go();
  process.kill(all.far!.pid, 'SIGTERM');
  await eventually('it to wake up', () => wakes() > before);
  t.true(isRunning(run.pid));
  process.kill(all.near!.pid, 'SIGTERM');
  t.is((await run.result).code, 5);
});

test('an inner session counts until it has ended', async t => {
  const file = join(t.context.base, 'file');
  const {code, stderr} = await t.context.run(['--wait', '--', 'sh', '-c', `setsid ${binary} -- sh -c 'sleep 0.3; echo done >${file}' & exit 0`]);
  t.deepEqual([code, stderr], [0, '']);
  t.true(existsSync(file));
});

test.serial('Ctrl-Z stops what is waited for, and fg continues it', async t => {
  const savers = saversOf(t.context);
  const terminal = await startTerminal(t.context.environment);
  terminal.type(`${binary} -v --wait -- sh -c '${savers.words('near')} & sleep 1000 & exit 5'\n`);
  const near = await eventually('it to be ready', () => /near ready (\d+)/.exec(terminal.output())?.[1]);
  await eventually('the command to end', () => terminal.output().includes('waiting for what it has left'));
  const task = childrenOf(terminal.shell)[0]!.pid;
  const sleeper = await eventually('the sleeper', () => childrenOf(task).find(({words}) => words[0] === 'sleep'));
  terminal.press('Z');
  await terminal.expect(/Stopped/);
  t.deepEqual([viewProcess(task)!.state, viewProcess(sleeper.pid)!.state], ['T', 'T']);
  terminal.type('fg\n');
  await eventually('both to go on', () => [task, sleeper.pid].every(pid => viewProcess(pid)!.state !== 'T'));
  savers.go();
  process.kill(sleeper.pid, 'SIGKILL');
  process.kill(Number(near), 'SIGTERM');
  await terminal.expect(/prompt> /);
  await terminal.end();
});
