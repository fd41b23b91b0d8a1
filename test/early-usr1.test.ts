/** Node opens its debugger at a SIGUSR1 that nobody listens to: to all of a shared node, if it could. */

import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {constants} from 'node:os';
import {test, useBench} from './helpers/jobbus.js';
import {eventually, isRunning} from './helpers/processes.js';

useBench();

const USR1 = constants.signals.SIGUSR1;

/** Milliseconds from the start of one signal to that of the next run's: together they take in all of a start. */
const STEP = 5;
const RUNS = 30;

/** The listening TCP sockets of the process. */
function listening(pid: number): string[] {
  const tables = ['tcp', 'tcp6'].map(name => orNothing(() => readFileSync(`/proc/${pid}/net/${name}`, 'utf8')) ?? '').join('\n');
  const sockets = tables.split('\n').map(line => line.trim().split(/\s+/)).filter(fields => fields[3] === LISTEN).map(fields => `socket:[${fields[9]}]`);
  const descriptors = orNothing(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return descriptors.map(descriptor => orNothing(() => readlinkSync(`/proc/${pid}/fd/${descriptor}`)) ?? '').filter(target => sockets.includes(target));
}

const LISTEN = '0A';

/** Processes and descriptors go while they are looked at, and a node may have no IPv6. */
function orNothing<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

test.serial('a Node that nobody guards opens one, and this test sees it', async t => {
  const {child, pid, line, errorLine} = t.context.start(['--inspect-port=0', '-e', 'console.log("ready"); setInterval(() => {}, 1000)'], {program: process.execPath});
  await line(/^ready$/);
  process.kill(pid, 'SIGUSR1');
  await errorLine(/Debugger listening/);
  t.is(listening(pid).length, 1);
  child.kill('SIGKILL');
});

test.serial('a USR1 at any moment opens no port', async t => {
  for (let run = 0; run < RUNS; run++) {
    const {child, pid, output, errors, result} = t.context.start(['--', 'sh', '-c', 'trap "echo heard; exit 7" USR1; echo ready; while :; do sleep 0.01; done']);
    await new Promise(resolve => setTimeout(resolve, run * STEP));
    process.kill(pid, 'SIGUSR1');
    const over = (): boolean => child.exitCode !== null || child.signalCode !== null;
    // Whatever becomes of it, it is looked at until it is over or the command runs.
    await eventually('the run to go on or to end', () => {
      const ended = over() || !isRunning(pid);
      if (!ended) {
        t.deepEqual(listening(pid), [], errors());
      }

      return ended || output().includes('ready');
    });
    if (!over() && !output().includes('heard')) {
      // The first was lost, or is on its way to the command.
      process.kill(pid, 'SIGUSR1');
    }

    const {code, signal, stdout} = await result;
    // Before Node runs it ends the shell that launches, as it would have ended the command; later it ends the run, or reaches it.
    t.true(stdout.includes('heard') ? code === 7 : signal === 'SIGUSR1' || code === 128 + USR1, JSON.stringify({code, signal, stdout}));
  }
});

test.serial('a USR1 to a run that has begun reaches the command and ends nothing', async t => {
  const {pid, line, result} = t.context.start(['--', 'sh', '-c', 'trap "echo heard" USR1; trap "exit 8" USR2; echo ready; while :; do sleep 0.01; done']);
  await line(/^ready$/);
  process.kill(pid, 'SIGUSR1');
  await line(/^heard$/);
  t.deepEqual(listening(pid), []);
  process.kill(pid, 'SIGUSR2');
  t.is((await result).code, 8);
});
