/** Hostile neighbours: what another user of the node does to a run, and does not get by it. */

import {chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {needsRoot, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {needsFuse, nodeInNode, NODE_BINARY, nodeFixture, startNode, withoutSockets, type OwnNode} from './helpers/own-node.js';
import {nodes} from './helpers/nodes.js';
import {eventually, isRunning, processesWith} from './helpers/processes.js';
import {killEverything} from './helpers/sessions.js';
import {useUsers, type User} from './helpers/users.js';

useBench();

const users = useUsers();

const ASK = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';
const SHOW = ['--', 'sh', '-c', `echo "$XDG_RUNTIME_DIR"; exec ${ASK}`];

/** The victim's, private and empty. @returns a function that tells whether nobody has written there since */
function makeHome({base}: Bench, {id}: User): () => boolean {
  const home = join(base, 'home');
  mkdirSync(home, {mode: 0o700});
  chownSync(home, id, id);
  const before = statSync(home, {bigint: true});
  return () => readdirSync(home).length === 0 && statSync(home, {bigint: true}).ctimeNs === before.ctimeNs;
}

const SQUATS: Readonly<Record<string, string>> = {
  'a directory': 'mkdir -m 755 "$1"; echo bait >"$1/file"',
  'a directory that all may write to': 'mkdir -m 777 "$1"',
  'a file': 'echo bait >"$1"',
  'a FIFO': 'mkfifo "$1"',
  "a link to the victim's home": 'ln -s /mnt/home "$1"',
  'a link to a directory of their own': 'mkdir -m 777 /tmp/trap; ln -s /tmp/trap "$1"',
  'a link to nothing': 'ln -s /tmp/nothing "$1"',
};

for (const [what, lines] of Object.entries(SQUATS)) {
  needsRoot(`where a neighbour has put ${what} in the place of the sessions' parent, sessions go beside it`, async t => {
    const {victim, neighbour} = users();
    const node = await startNode(t);
    const homeIsUntouched = makeHome(t.context, victim);
    const squat = `/tmp/jobbus-${victim.id}`;
    t.like(await node.start(['sh', '-ec', lines, 'sh', squat], {user: neighbour}).result, {code: 0, stderr: ''});
    const before = lstatSync(join(node.tmp, `jobbus-${victim.id}`), {bigint: true});

    const {code, stdout, stderr} = await node.run(SHOW, {user: victim});
    t.is(stderr, '');
    t.is(code, 0);
    t.regex(stdout, new RegExp(`^${squat}-[a-z2-7]{6}/nojob-[a-z2-7]{16}\n\\s*[0-9a-f]{32}`));

    // What was killed there is found and swept.
    const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {user: victim, environment: {JOBBUS_TEST_VICTIM: mark(t)}});
    const directory = await run.line(/^\//);
    await killEverything(`JOBBUS_TEST_VICTIM=${mark(t)}`);
    await run.result;
    t.like(await node.run(['--sweep'], {user: victim}), {code: 0, stdout: `${directory}: dead (its process is gone); removed\n`, stderr: ''});

    t.true(homeIsUntouched());
    const after = lstatSync(join(node.tmp, `jobbus-${victim.id}`), {bigint: true});
    t.deepEqual([after.mtimeNs, after.ctimeNs, after.uid], [before.mtimeNs, before.ctimeNs, BigInt(neighbour.id)]);
    t.deepEqual(readdirSync(node.tmp).filter(name => name.startsWith(`jobbus-${victim.id}-`)), []);
  });
}

function mark(t: ExecutionContext<Bench>): string {
  return t.context.mark.split('=')[1]!;
}

interface StoppedRun extends Run {
  readonly goOn: () => void;
}

/** Starts jobbus-run as the victim and stops it behind a system call: the first of that name, or another. */
async function stopBehind(t: ExecutionContext<Bench>, node: OwnNode, call: string, when = 1): Promise<StoppedRun> {
  const tracing = ['strace', '-o', '/dev/shm/trace', '-e', `trace=${call}`, '-e', `inject=${call}:signal=STOP:when=${when}`];
  const run = node.start([...tracing, NODE_BINARY, '-v', ...SHOW], {user: users().victim});
  const trace = join(node.shm, 'trace');
  await eventually('jobbus-run to be stopped', () => existsSync(trace) && readFileSync(trace, 'utf8').includes('--- stopped by SIGSTOP ---\n'));
  const {pid} = processesWith(t.context.mark).find(({words}) => words[0] !== 'strace' && words.some(word => word.endsWith('jobbus-run.cjs')))!;
  return {...run, goOn: () => void process.kill(pid, 'SIGCONT')};
}

needsRoot('a neighbour who puts a link there between our look and our use gets nothing made behind it', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const homeIsUntouched = makeHome(t.context, victim);
  // The keeper's socket: the place is chosen, and nothing has been made.
  const run = await stopBehind(t, node, 'socketpair');
  t.deepEqual(readdirSync(node.tmp), []);
  t.like(await node.start(['ln', '-s', '/mnt/home', `/tmp/jobbus-${victim.id}`], {user: neighbour}).result, {code: 0, stderr: ''});
  run.goOn();
  const {code, stdout, stderr} = await run.result;
  t.true(stderr.includes(`jobbus-run: /tmp cannot serve: /tmp/jobbus-${victim.id} is not ours\n`), stderr);
  t.is(code, 0);
  t.regex(stdout, /^\/dev\/shm\/jobbus-/);
  t.true(homeIsUntouched());
});

needsRoot("a session's lock is held before anybody can know its name", async t => {
  const node = await startNode(t, '', ['--net']);
  const run = await stopBehind(t, node, 'socketpair');
  t.regex((await node.start(['cat', '/proc/net/unix'], {user: users().neighbour}).result).stdout, /^.* @jobbus-run\/nojob-[a-z2-7]{16}@*$/m);
  t.false(processesWith(t.context.mark).some(({words}) => words.includes('jobbus-keeper')));
  run.goOn();
  t.like(await run.result, {code: 0});
});

async function startNodeWithoutSockets(t: ExecutionContext<Bench>): Promise<OwnNode> {
  return startNode(t, `${withoutSockets('/tmp')}\n${withoutSockets('/dev/shm')}`);
}

needsFuse("a neighbour who has bound the bus's name before the daemon does is no bus of ours: nothing is started", async t => {
  const node = await startNodeWithoutSockets(t);
  // After two directories in each of the places that take no socket, the parent of the one where the bus gets none.
  const run = await stopBehind(t, node, 'mkdir', 5);
  const words = processesWith(t.context.mark).flatMap(process => process.words);
  const name = /^--address=unix:abstract=(.*)/.exec(words.find(word => word.startsWith('--address=unix:abstract='))!)![1]!;
  const bus = node.start([nodeFixture('false-bus'), name, '1'], {user: users().neighbour});
  await bus.line(/^bound$/);
  run.goOn();
  const {code, stdout, stderr} = await run.result;
  t.regex(stderr, /\njobbus-run: starting \/usr\/bin\/dbus-daemon failed: it ended before it reported its address; its log ends: .*Address already in use$/m);
  t.is(stdout, '');
  t.is(code, 125);
  t.is(bus.output(), 'bound\n');
  t.deepEqual(node.sessions(), []);
  process.kill(bus.pid, 'SIGKILL');
  await bus.result;
});

for (const kind of ['path', 'abstract'] as const) {
  (kind === 'path' ? needsRoot : needsFuse)(`a neighbour who connects to a bus with ${kind === 'path' ? 'a path' : 'an abstract name'} is refused, and it serves on`, async t => {
    const {victim, neighbour} = users();
    const node = await (kind === 'path' ? startNode(t) : startNodeWithoutSockets(t));
    const run = node.start([NODE_BINARY, '--', 'sh', '-c', `trap '${ASK}; exit 0' TERM; echo "$DBUS_SESSION_BUS_ADDRESS"; tail -f /dev/null & wait`], {user: victim});
    const address = await run.line(/^unix:/);
    const asked = await node.start(['sh', '-c', ASK], {user: neighbour, environment: {DBUS_SESSION_BUS_ADDRESS: address}}).result;
    t.is(asked.code, 1);
    t.is(asked.stdout, '');
    const socket = address.replace('unix:path=', '').replace('unix:abstract=', '@');
    const tried = await node.start([nodeFixture('breaks-in'), socket, String(victim.id)], {user: neighbour}).result;
    if (kind === 'path') {
      t.regex(tried.stderr, /PermissionError/);
    } else {
      t.is(tried.stdout, "EXTERNAL ['REJECTED']\nEXTERNAL ['DATA']\nANONYMOUS ['REJECTED']\nDBUS_COOKIE_SHA1 ['REJECTED']\n");
    }

    process.kill(run.pid, 'SIGTERM');
    const {code, stdout, stderr} = await run.result;
    t.is(stderr, '');
    t.is(code, 0);
    t.regex(stdout, /\n\s*[0-9a-f]{32}/);
  });
}

needsRoot('5,000 connections held to the lock change nothing', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', `trap '${ASK}; exit 7' TERM; echo "$XDG_RUNTIME_DIR"; tail -f /dev/null & wait`], {user: victim});
  const directory = await run.line(/^\//);
  const holder = node.start([nodeFixture('holds-connections'), directory.split('/').at(-1)!], {user: neighbour, environment: {JOBBUS_TEST_HOLDER: mark(t)}});
  await holder.line(/^held$/);
  t.like(JSON.parse((await node.run(['--list', '--json'], {user: victim})).stdout), [{state: 'live', directory}]);
  t.like(await node.run(['--sweep'], {user: victim}), {code: 0, stdout: '', stderr: ''});
  t.like(await node.run(SHOW, {user: victim}), {code: 0, stderr: ''});
  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 7, stderr: ''});
  t.deepEqual(node.sessions(), []);
  await killEverything(`JOBBUS_TEST_HOLDER=${mark(t)}`);
  await holder.result;
});

needsRoot('5,000 connections held to the lock of a session that is killed do not keep it', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const environment = {JOBBUS_TEST_VICTIM: mark(t)};
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {user: victim, environment});
  const directory = await run.line(/^\//);
  const holder = node.start([nodeFixture('holds-connections'), directory.split('/').at(-1)!], {user: neighbour, environment: {JOBBUS_TEST_HOLDER: mark(t)}});
  await holder.line(/^held$/);
  await killEverything(`JOBBUS_TEST_VICTIM=${mark(t)}`);
  await run.result;
  // Without its record, the lock is all there is to go by.
  rmSync(join(node.tmp, directory.slice('/tmp'.length), 'session.json'));
  t.like(await node.run(['--sweep'], {user: victim}), {code: 0, stdout: `${directory}: dead (its lock is free, and it has no record); removed\n`});
  await killEverything(`JOBBUS_TEST_HOLDER=${mark(t)}`);
  await holder.result;
});

needsFuse("a neighbour who takes the bus's name after the daemon's death, to point at a process, is not asked", async t => {
  const {victim, neighbour} = users();
  const [, node22 = ''] = await nodes();
  const node = await startNodeWithoutSockets(t);
  const go = '/dev/shm/go';
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', `echo "$DBUS_SESSION_BUS_ADDRESS"; until [ -e ${go} ]; do sleep 0.02; done; exit 6`], {
    user: victim,
    // Node 20 could not even ask.
    environment: {JOBBUS_NODE: nodeInNode(node22)},
  });
  const address = await run.line(/^unix:abstract=/);
  makeHome(t.context, victim);
  const agent = Number(/SSH_AGENT_PID=(\d+)/.exec((await node.start(['ssh-agent', '-s', '-a', '/mnt/home/agent'], {user: victim}).result).stdout)?.[1]);
  t.true(isRunning(agent));
  const daemon = processesWith(t.context.mark).find(({words}) => words[0]?.endsWith('dbus-daemon'))!;
  process.kill(daemon.pid, 'SIGKILL');
  await run.errorLine(/has died/);
  const bus = node.start([nodeFixture('false-bus'), address.replace('unix:abstract=', ''), String(agent)], {user: neighbour});
  await bus.line(/^bound$/);
  await node.start(['touch', go]).result;
  t.is((await run.result).code, 6);
  t.true(isRunning(agent), 'it was started elsewhere, and goes on');
  t.is(bus.output(), 'bound\n');
  [agent, bus.pid].forEach(pid => process.kill(pid, 'SIGKILL'));
  await bus.result;
});

/** A run and a command that live through the storm: both ignore the signal, and Node does not while it starts. */
const STORM = ['sh', '-c', "trap '' USR1; echo armed; exec \"$0\" -- sh -c 'echo ready; sleep 0.2'", NODE_BINARY];
const STORMS = 10;

needsRoot('a neighbour who knocks everywhere finds no debugger, through a storm of USR1 from the first moment on', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t, 'ip link set lo up', ['--net']);
  const knocker = node.start([nodeFixture('knocks')], {user: neighbour});
  await knocker.line(/^ready$/);
  for (let storm = 0; storm < STORMS; storm++) {
    const run = node.start(STORM, {user: victim});
    await run.line(/^armed$/);
    const ended = (): boolean => run.child.exitCode !== null || run.child.signalCode !== null;
    await eventually('the end of the run', () => ended() || (run.child.kill('SIGUSR1') && false), 60_000, 1);
    const {code, stdout} = await run.result;
    // It is interrupted, or learns in time that its caller ignores the signal.
    t.is(stdout, code === 0 ? 'armed\nready\n' : 'armed\n');
    t.true(code === 0 || code === 138, String(code));
  }

  t.is(knocker.output(), 'ready\n');
  // One that nobody guards is found.
  const unguarded = node.start([process.execPath, '--eval', 'console.log("ready"); setInterval(() => {}, 1000)'], {user: victim});
  await unguarded.line(/^ready$/);
  unguarded.child.kill('SIGUSR1');
  await knocker.line(/^found 127.0.0.1 9229$/);
  for (const {child, result} of [knocker, unguarded]) {
    child.kill('SIGKILL');
    await result;
  }
});
