/** On a node where nobody can bind a socket that has a path, the bus gets one without. */

import type {ExecutionContext} from 'ava';
import {isKeeper} from './helpers/ground.js';
import {useBench, type Bench, type Run} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, nodeFixture, startNode, withoutSockets, type OwnNode} from './helpers/own-node.js';
import {eventually, isRunning, processesWith} from './helpers/processes.js';
import {kill, killEverything, withEchoService} from './helpers/sessions.js';
import {useUsers} from './helpers/users.js';

useBench();

async function startBareNode(t: ExecutionContext<Bench>): Promise<OwnNode> {
  return startNode(t, `${withoutSockets('/tmp')}\n${withoutSockets('/dev/shm')}`);
}

const ASK = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

needsFuse('the bus serves, in a directory as private as any other, and nothing is left', async t => {
  const node = await startBareNode(t);
  const script = `stat -c '%a %u' "$XDG_RUNTIME_DIR"; echo "$DBUS_SESSION_BUS_ADDRESS"; ${ASK}
    gdbus call --session -d org.freedesktop.DBus -o / -m org.freedesktop.DBus.GetId; exit 5`;
  const results = await Promise.all([1, 2].map(async () => node.run(['--', 'sh', '-c', script])));
  for (const {code, stdout, stderr} of results) {
    t.is(stderr, '');
    t.is(code, 5);
    // 80 random bits, beside those of the session's name, which is told to all by its lock.
    t.regex(stdout, /^700 0\nunix:abstract=jobbus-run-bus\/nojob-[a-z2-7]{16}-[a-z2-7]{16}\n\s*([0-9a-f]{32})\s*\('\1',\)\n$/);
  }

  t.not(results[0]!.stdout, results[1]!.stdout);
  t.deepEqual(node.sessions(), []);
});

needsFuse('a busy session is listed, and nothing of it is left when jobbus-run is killed', async t => {
  const node = await startBareNode(t);
  const run = await startBusy(t, node);
  const [session] = await listed(node);
  t.like(session, {state: 'live', pid: run.pid});
  t.regex(session!.bus, /^unix:abstract=/);
  process.kill(run.pid, 'SIGKILL');
  await run.result;
  await eventually('the keeper to clean up', () => node.sessions().length === 0 && processesWith(busy(t.context)).length === 0);
});

needsFuse('when all is killed at once, what is left is listed as dead, and swept', async t => {
  const node = await startBareNode(t);
  const run = await startBusy(t, node);
  run.child.stdout!.destroy();
  run.child.stderr!.destroy();
  await killEverything(busy(t.context));
  await run.result;
  const [session] = await listed(node);
  t.like(session, {state: 'dead', processes: 0});
  t.like(await node.run(['--sweep']), {code: 0, stdout: `${session!.directory}: dead (its process is gone); removed\n`});
  t.deepEqual(node.sessions(), []);
});

needsFuse('when jobbus-run and its keeper are killed, a sweep ends what goes on', async t => {
  const node = await startBareNode(t);
  const run = await startBusy(t, node);
  run.child.stdout!.destroy();
  run.child.stderr!.destroy();
  const keeper = processesWith(busy(t.context)).find(isKeeper)!;
  [keeper.pid, run.pid].forEach(pid => process.kill(pid, 'SIGKILL'));
  await run.result;
  t.true(processesWith(busy(t.context)).length > 3);
  t.regex((await node.run(['--sweep'])).stdout, /dead \(its process is gone\); removed\n$/);
  t.deepEqual(processesWith(busy(t.context)), []);
  t.deepEqual(node.sessions(), []);
});

const users = useUsers();

needsFuse('when jobbus-run and its keeper are killed, a sweep finds a process that hides its environment by its connection to the bus', async t => {
  const {victim} = users();
  const node = await startBareNode(t);
  const script = 'hidden=$("$0"); echo "hidden $hidden"; exec tail -f /dev/null';
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', script, nodeFixture('hides-on-bus')], {user: victim, environment: {JOBBUS_TEST_BUSY: busy(t.context).split('=')[1]}});
  const hidden = Number((await run.line(/^hidden \d+$/)).split(' ')[1]);
  const keeper = processesWith(busy(t.context)).find(isKeeper)!;
  [keeper.pid, run.pid].forEach(kill);
  await eventually('both to go', () => ![keeper.pid, run.pid].some(isRunning));
  t.true(isRunning(hidden));
  t.like(await node.run(['--sweep'], {user: victim}), {code: 0, stderr: ''});
  t.false(isRunning(hidden));
  t.deepEqual(node.sessions(), []);
  run.child.stdout!.destroy();
  run.child.stderr!.destroy();
  await run.result;
});

/** What all processes of the session have in their environment, and those of the node do not. */
function busy({mark}: Bench): string {
  return mark.replace('MARK', 'BUSY');
}

/** With a child, a process in a session of its own and a service. */
async function startBusy(t: ExecutionContext<Bench>, node: OwnNode): Promise<Run> {
  const run = node.start([NODE_BINARY, '--', nodeFixture('leaves-all')], {environment: {...withEchoService(t.context), XDG_DATA_DIRS: '/mnt/share', JOBBUS_TEST_BUSY: busy(t.context).split('=')[1]}});
  await run.line(/^ready$/);
  t.true(processesWith(busy(t.context)).some(({words}) => words[0] === '/usr/bin/dbus-test-tool'));
  return run;
}

async function listed(node: OwnNode): Promise<Array<{state: string; pid: number; bus: string; directory: string}>> {
  return JSON.parse((await node.run(['--list', '--json'])).stdout) as Array<{state: string; pid: number; bus: string; directory: string}>;
}
