/** Many an engine opens its debugger at a SIGUSR1 that nobody listens to: to all of a shared node, if it could. */

import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {createServer} from 'node:net';
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

test.serial('a port that is open is seen', async t => {
  const server = createServer();
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
  t.is(listening(process.pid).length, 1);
  server.close();
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
    const {code, signal, stdout} = await result;
    // Before its first instruction it dies as any program would; later it ends the run, or reaches the command.
    t.true(stdout.includes('heard') ? code === 7 : signal === 'SIGUSR1' || code === 128 + USR1, JSON.stringify({code, signal, stdout}));
  }
});
