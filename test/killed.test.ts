import {chmodSync, existsSync, mkdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, fixture, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {environmentOf, eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {daemonOf, keeperOf, killed, markOf, nothingLeft, withEchoService, withService} from './helpers/sessions.js';

useBench();

test('kill -9: the command gets TERM, and then KILL', async t => {
  const asked = join(t.context.base, 'asked');
  // A second, which is what it gets unasked, may pass on a busy node before it comes to its note.
  const run = t.context.start(['--stop-timeout', '4', '--', fixture('notes-term'), asked]);
  await run.line(/^ready$/);
  await killed(run);
  await eventually('its note', () => existsSync(asked));
  await eventually('its end', () => processesWith(t.context.mark).length === 0);
  await t.context.assertNothingLeft();
  t.true(existsSync(asked));
});

test('kill -9: a child, a process in a session of its own, an activated service and the daemon are ended', async t => {
  const run = t.context.start(['--', fixture('leaves-all')], {environment: withEchoService(t.context)});
  await run.line(/^ready$/);
  const words = processesWith(t.context.mark).map(view => view.words.join(' '));
  t.is(words.filter(line => line === 'tail -f /dev/null').length, 2);
  t.is(words.filter(line => line.startsWith('/usr/bin/dbus-test-tool echo')).length, 1);
  await killed(run);
  await t.context.assertNothingLeft();
});

/** What leaves a trace outside of the process, and what ends it. */
const CALLS = [
  'execve', 'clone', 'clone3', 'vfork', 'kill', 'bind', 'connect', 'mkdir', 'chmod', 'rename', 'unlink', 'rmdir', 'write', 'writev',
  'shutdown', 'exit_group',
];

test('kill -9 before any step, from the first side effect to the last', async t => {
  const reference = join(t.context.base, 'reference');
  const environment = withEchoService(t.context);
  await t.context.run(tracing(reference), {program: 'strace', environment});
  const steps = await eventually('the whole trace', () => stepsIn(reference));
  const reached = new Set<string>();
  const times: number[] = [];
  const walk = async (): Promise<void> => {
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
      const {isKilled, time} = await killedAt(t.context, step, environment);
      times.push(time);
      if (isKilled) {
        reached.add(step.split(':')[0]!);
      }
    }
  };
  await Promise.all([walk(), walk(), walk()]);
  t.log(`${times.length} steps; nothing was left at most ${Math.round(Math.max(...times))} ms after one`);
  const least = ['execve', 'kill', 'bind', 'mkdir', 'rename', 'rmdir', 'write', 'exit_group', 'connect'];
  t.deepEqual(least.filter(call => !reached.has(call)), []);
});

/** Words for strace; it follows the one process that is the launcher, becomes the supervisor and stays our child. */
function tracing(output: string, inject?: string): string[] {
  return ['-D', '-o', output, '-e', `trace=${CALLS.join(',')}`, ...(inject === undefined ? [] : ['-e', `inject=${inject}`]), binary, '--', fixture('leaves-all'), '4'];
}

/** The calls of a trace, as strace's injections name them; undefined while it is being written. */
function stepsIn(output: string): string[] | undefined {
  const trace = existsSync(output) ? readFileSync(output, 'utf8') : '';
  const counts = new Map<string, number>();
  return !/^\+\+\+ exited/m.test(trace)
    ? undefined
    : Array.from(trace.matchAll(/^(\w+)\(/gm), ([, call = '']) => {
        counts.set(call, (counts.get(call) ?? 0) + 1);
        return `${call}:when=${counts.get(call)!}`;
      });
}

interface KilledRun {
  /** Whether it came that far: polling takes more calls now and fewer then. */
  readonly isKilled: boolean;
  /** Milliseconds from its end until nothing was left. */
  readonly time: number;
}

/** In a base of its own, where no other run sweeps. */
async function killedAt(bench: Bench, step: string, environment: Record<string, string>): Promise<KilledRun> {
  const base = join(bench.base, step);
  mkdirSync(base);
  const {code, signal} = await bench.run(tracing('/dev/null', `${step}:signal=KILL`), {
    program: 'strace',
    environment: {...environment, JOBBUS_RUNTIME_BASE: base, JOBBUS_TEST_RUN: markOf(bench, step)},
  });
  const end = performance.now();
  await nothingLeft(`JOBBUS_TEST_RUN=${markOf(bench, step)}`, base);
  if (signal !== 'SIGKILL' && code !== 4) {
    throw new Error(`Killed before ${step}, it ended with ${code}`);
  }

  return {isKilled: signal === 'SIGKILL', time: performance.now() - end};
}

/** But for KILL and STOP, and for the faults. */
const ACCIDENTAL = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGTERM', 'SIGCHLD', 'SIGCONT', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU',
  'SIGURG', 'SIGXCPU', 'SIGXFSZ', 'SIGVTALRM', 'SIGPROF', 'SIGWINCH', 'SIGIO', 'SIGPWR', 'SIGSYS',
] as const satisfies readonly NodeJS.Signals[];

test('no accidental signal ends the keeper, and what it starts ignores none', async t => {
  const words = ['-c', 'trap "" HUP INT QUIT TERM USR1; exec "$0" "$@"', binary];
  const environment = withService(t.context, 'org.example.Sleep', '/usr/bin/sleep 1000');
  const start = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Sleep uint32:0';
  const run = t.context.start([...words, '--', 'sh', '-c', `${start}; echo ready; exec tail -f /dev/null`], {program: '/bin/sh', environment});
  await run.line(/^ready$/);
  const keeper = await keeperOf(t.context);
  const service = await eventually('the service', () => processesWith(t.context.mark).find(view => view.words.join(' ') === '/usr/bin/sleep 1000'));
  t.true(environmentOf(service.pid).some(entry => entry.startsWith('DBUS_STARTER_ADDRESS=')));
  for (const {pid} of [keeper, await daemonOf(t.context), service]) {
    t.deepEqual(ignoredSignals(pid), [], viewProcess(pid)?.words.join(' '));
  }

  for (const signal of ACCIDENTAL) {
    process.kill(keeper.pid, signal);
    await eventually(`the keeper to wait on after ${signal}`, () => !isRunning(keeper.pid) || viewProcess(keeper.pid)?.state === 'S');
    t.true(isRunning(keeper.pid), signal);
  }

  await killed(run);
  await t.context.assertNothingLeft();
});

const PIPE = 13;

/** Numbers; without PIPE, which dbus-daemon ignores by itself. */
function ignoredSignals(pid: number): number[] {
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]!}`);
  return Array.from({length: 64}, (_, index) => index + 1).filter(number => (mask >> BigInt(number - 1)) & 1n && number !== PIPE);
}

test('the keeper costs a few hundred KB at most while it waits', async t => {
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  const {pid} = await keeperOf(t.context);
  const kilobytes = Number(/^Private_Dirty:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);
  t.log(`${kilobytes} KB`);
  t.true(kilobytes < 500);
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).code, 143);
});

test('after a clean end nothing is there any more at the moment at which jobbus-run is gone', async t => {
  const once = async (): Promise<string[]> => {
    const run = markOf(t.context, ++runs);
    const {child} = t.context.start(['--', 'true'], {environment: {JOBBUS_TEST_RUN: run}});
    const entry = `JOBBUS_TEST_RUN=${run}`;
    return new Promise(resolve => child.once('exit', () => resolve(processesWith(entry).map(({words}) => words.join(' ')))));
  };
  let runs = 0;
  const repeated = async (): Promise<string[]> => (await once()).concat(await once(), await once(), await once(), await once());
  t.deepEqual((await Promise.all([repeated(), repeated(), repeated(), repeated()])).flat(), []);
});

for (const [what, then] of [['removed its runtime directory', ':'], ['put a link in the place of its runtime directory', 'ln -s / "$XDG_RUNTIME_DIR"']] as const) {
  test(`after kill -9 all goes also where the command has ${what}`, async t => {
    const run = t.context.start(['--', 'sh', '-c', `setsid tail -f /dev/null & rm -r "$XDG_RUNTIME_DIR"; ${then}; echo ready; exec tail -f /dev/null`]);
    await run.line(/^ready$/);
    await killed(run);
    await t.context.assertNothingLeft();
    t.pass();
  });
}

needsRoot('after kill -9 all goes also in a base that may not be listed, beside a squatter', async t => {
  const base = join(t.context.base, 'unlisted');
  mkdirSync(join(base, 'jobbus-65534'), {recursive: true});
  chmodSync(base, 0o1733);
  const environment = {JOBBUS_RUNTIME_BASE: base};
  const run = t.context.start([...asNobody(installFor(t.context)), '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {program: 'setpriv', environment});
  const directory = await run.line(/jobbus-65534-/);
  await killed(run);
  await nothingLeft(t.context.mark, t.context.base);
  t.false(existsSync(dirname(directory)));
});

test('killing the keeper alone changes nothing', async t => {
  const run = t.context.start(['--', fixture('asks-bus-at-term')]);
  await run.line(/^ready$/);
  const keeper = await keeperOf(t.context);
  process.kill(keeper.pid, 'SIGKILL');
  await eventually('the keeper to go', () => !isRunning(keeper.pid));
  process.kill(run.pid, 'SIGTERM');
  const {code, stdout, stderr} = await run.result;
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^ready\n\s*[0-9a-f]{32}\n?$/);
  await t.context.assertNothingLeft();
});
