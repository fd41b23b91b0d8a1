import {chmodSync, copyFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, fixture, needsRoot, test, useBench, type Run} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {eventually, viewProcess} from './helpers/processes.js';

useBench();

const FORWARDED = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGCONT', 'SIGWINCH', 'SIGTSTP', 'SIGXCPU',
  'SIGURG', 'SIGIO', 'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

/** @returns the pid that the fixture has said */
async function readyPid(run: Run): Promise<number> {
  return Number((await run.line(/^ready \d+$/)).split(' ')[1]);
}

function reported(run: Run): string[] {
  return run.output().split('\n').slice(1, -1);
}

// The signal after it is each signal's fence: what came twice would stand between the two.
for (const [where, words] of [['in our process group', []], ['in a session of its own', ['setsid']]] as const) {
  test(`each forwardable signal to the pid of jobbus-run reaches a command ${where} once`, async t => {
    const run = t.context.start(['--', ...words, fixture('reports-signals')]);
    const pid = await readyPid(run);
    t.is(viewProcess(pid)?.parent, run.pid);
    const sent: string[] = [];
    for (const signal of [...FORWARDED, 'SIGUSR1'] as const) {
      process.kill(run.pid, signal);
      sent.push(signal);
      await eventually(`${signal} to be reported`, () => reported(run).length >= sent.length);
      t.deepEqual(reported(run), sent);
    }

    process.kill(pid, 'SIGKILL');
    const {code, stderr} = await run.result;
    t.is(stderr, '', 'and no debugger has been opened');
    t.is(code, 137);
  });
}

test('a signal that the command does not survive gives its status', async t => {
  for (const [signal, status] of [['SIGTERM', 143], ['SIGINT', 130], ['SIGUSR1', 138], ['SIGALRM', 142]] as const) {
    const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
    await run.line(/^ready$/);
    process.kill(run.pid, signal);
    const {code, stderr} = await run.result;
    t.is(stderr, '');
    t.is(code, status);
  }
});

for (const target of ['pid', 'process group'] as const) {
  test(`the bus answers a command that handles TERM to the ${target}`, async t => {
    const run = t.context.start(['--', fixture('asks-bus-at-term')], {detached: true});
    await run.line(/^ready$/);
    process.kill(target === 'pid' ? run.pid : -run.pid, 'SIGTERM');
    const {code, stdout, stderr} = await run.result;
    t.is(stderr, '');
    t.is(code, 0);
    t.regex(stdout, /^ready\n\s*[0-9a-f]{32}\s*$/);
  });
}

test('of several signals at once none is lost', async t => {
  const run = t.context.start(['--', fixture('reports-signals')]);
  const pid = await readyPid(run);
  FORWARDED.forEach(signal => process.kill(run.pid, signal));
  // Of TSTP and CONT the kernel drops the one that is pending when the other comes.
  const wanted = FORWARDED.filter(signal => signal !== 'SIGTSTP' && signal !== 'SIGCONT');
  await eventually('all to be reported', () => wanted.every(signal => reported(run).includes(signal)));
  process.kill(pid, 'SIGKILL');
  t.is((await run.result).code, 137);
  t.deepEqual([...new Set(reported(run))], reported(run), 'and none came twice');
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`--kill-after ends a command that ignores ${signal}`, async t => {
    const run = t.context.start(['--kill-after', '0.2', '--', fixture('ignores-term')]);
    await readyPid(run);
    process.kill(run.pid, signal);
    t.is((await run.result).code, 137);
  });
}

test('--kill-after does not count a signal that the caller ignores', async t => {
  const run = t.context.start(['-c', 'trap "" HUP; exec "$0" "$@"', binary, '--kill-after', '0', '--', fixture('reports-signals')], {program: '/bin/sh'});
  await readyPid(run);
  process.kill(run.pid, 'SIGHUP');
  process.kill(run.pid, 'SIGUSR1');
  await run.line(/^SIGUSR1$/);
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).code, 137);
});

needsRoot('what cannot be sent to a command that has become another user\'s is said, and no more', async t => {
  const becoming = join(t.context.base, 'setpriv');
  copyFileSync('/usr/bin/setpriv', becoming);
  chmodSync(becoming, 0o4755);
  const words = [...asNobody(installFor(t.context)), '--', becoming, '--reuid', '0', '--regid', '0', '--clear-groups', 'sh', '-c', 'echo "ready $$"; exec tail -f /dev/null'];
  const run = t.context.start(words, {program: 'setpriv', environment: {JOBBUS_RUNTIME_BASE: '/tmp'}});
  const pid = await readyPid(run);
  process.kill(run.pid, 'SIGTERM');
  await run.errorLine(/^jobbus-run: sending a signal to the command, process \d+, failed: operation not permitted; is it another user's by now\?$/);
  process.kill(pid, 'SIGKILL');
  t.like(await run.result, {code: 137, stdout: `ready ${pid}\n`});
});

test('--kill-after leaves alone a command that ends in time, and one that got another signal', async t => {
  const ending = t.context.start(['--kill-after', '100', '--', fixture('asks-bus-at-term')]);
  await ending.line(/^ready$/);
  process.kill(ending.pid, 'SIGTERM');
  t.is((await ending.result).code, 0);

  const going = t.context.start(['--kill-after', '0', '--', fixture('reports-signals')]);
  const pid = await readyPid(going);
  process.kill(going.pid, 'SIGUSR1');
  await going.line(/^SIGUSR1$/);
  process.kill(going.pid, 'SIGUSR2');
  await going.line(/^SIGUSR2$/);
  process.kill(pid, 'SIGQUIT');
  await going.line(/^SIGQUIT$/);
  process.kill(going.pid, 'SIGTERM');
  t.is((await going.result).code, 137);
});
