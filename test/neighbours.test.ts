/** Hostile neighbours: what another user of the node does to a run, and does not get by it. */

import {chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {isJobbusRun, isKeeper} from './helpers/ground.js';
import {needsRoot, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, nodeFixture, startNode, withoutSockets, type OwnNode} from './helpers/own-node.js';
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

/** How many of the names that a neighbour has made a run of the victim's has looked at. */
async function looksAtNames(t: ExecutionContext<Bench>, lines: string): Promise<number> {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const names = `for number in $(seq 600); do mkdir "$1-x$number"; done; ${lines}`;
  t.like(await node.start(['sh', '-ec', names, 'sh', `/tmp/jobbus-${victim.id}`], {user: neighbour}).result, {code: 0, stderr: ''});
  const tracing = ['strace', '-f', '-o', '/dev/shm/trace', '-e', 'trace=%file'];
  t.like(await node.run(['--', 'true'], {user: victim, prefix: tracing}), {code: 0});
  const looks = readFileSync(join(node.shm, 'trace'), 'utf8').matchAll(/"\/tmp\/jobbus-\d+-(x\d+)/g);
  return new Set(Array.from(looks, ([, name]) => name)).size;
}

needsRoot('of 600 names like those of sessions that a neighbour has made, a run looks at none', async t => {
  t.is(await looksAtNames(t, ':'), 0);
});

needsRoot('of 600 names like those of sessions, a run looks at some where the neighbour has the common one too', async t => {
  const looks = await looksAtNames(t, 'mkdir "$1"');
  t.true(looks > 0 && looks <= 64, String(looks));
});

function mark(t: ExecutionContext<Bench>): string {
  return t.context.mark.split('=')[1]!;
}

needsRoot('where a neighbour is given all that is made in the base, by its default ACL, the session is closed to them', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t, `mkdir /tmp/base; chown ${victim.id} /tmp/base; chmod 755 /tmp/base; ${nodeFixture('gives-all')} /tmp/base ${neighbour.id}`);
  const run = node.start([NODE_BINARY, '--runtime-base', '/tmp/base', '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {user: victim});
  const directory = await run.line(/^\//);
  t.is((await node.start(['stat', '-c', '%a %u', directory, `${directory}/..`], {user: victim}).result).stdout, `700 ${victim.id}\n`.repeat(2));
  for (const path of ['..', '.', 'session.json', 'bus', '../new']) {
    const {code, stderr} = await node.start(['sh', '-c', 'ls "$0" || cat "$0" || mkdir "$0"', `${directory}/${path}`], {user: neighbour}).result;
    t.not(code, 0);
    t.regex(stderr, /^(.*: Permission denied\n){3}$/, path);
  }

  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 143, stderr: ''});
});

/** The first system call on behalf of the keeper: the place is chosen, and nothing has been made. */
const KEEPERS_FIRST_CALL = 'pipe2';

interface StoppedRun extends Run {
  readonly goOn: () => void;
}

/** Starts jobbus-run as the victim and stops it behind a system call: the first of that name, or another. */
async function stopBehind(t: ExecutionContext<Bench>, node: OwnNode, call: string, when = 1, options: readonly string[] = []): Promise<StoppedRun> {
  const tracing = ['strace', '-o', '/dev/shm/trace', '-e', `trace=${call}`, '-e', `inject=${call}:signal=STOP:when=${when}`];
  const run = node.start([...tracing, NODE_BINARY, '-v', ...options, ...SHOW], {user: users().victim});
  const trace = join(node.shm, 'trace');
  await eventually('jobbus-run to be stopped', () => existsSync(trace) && readFileSync(trace, 'utf8').includes('--- stopped by SIGSTOP ---\n'));
  const {pid} = processesWith(t.context.mark).find(isJobbusRun)!;
  return {...run, goOn: () => void process.kill(pid, 'SIGCONT')};
}

for (const [where, options] of [['', []], [' of a base that was asked for', ['--runtime-base', '/tmp']]] as const) {
  needsRoot(`a neighbour who puts a link in the place of the parent${where}, between our look and our use, gets nothing made behind it: sessions go beside it`, async t => {
    const {victim, neighbour} = users();
    const node = await startNode(t);
    const homeIsUntouched = makeHome(t.context, victim);
    const run = await stopBehind(t, node, KEEPERS_FIRST_CALL, 1, options);
    t.deepEqual(readdirSync(node.tmp), []);
    t.like(await node.start(['ln', '-s', '/mnt/home', `/tmp/jobbus-${victim.id}`], {user: neighbour}).result, {code: 0, stderr: ''});
    run.goOn();
    const {code, stdout, stderr} = await run.result;
    t.true(stderr.includes(`jobbus-run: /tmp cannot serve: /tmp/jobbus-${victim.id} is not ours\n`), stderr);
    t.is(code, 0, stderr);
    t.regex(stdout, new RegExp(`^/tmp/jobbus-${victim.id}-[a-z2-7]{6}/`));
    t.true(homeIsUntouched());
    t.deepEqual(readdirSync(node.tmp), [`jobbus-${victim.id}`]);
  });
}

needsRoot("a session's lock is held before anybody can know its name", async t => {
  const node = await startNode(t, '', ['--net']);
  const run = await stopBehind(t, node, KEEPERS_FIRST_CALL);
  t.regex((await node.start(['cat', '/proc/net/unix'], {user: users().neighbour}).result).stdout, /^.* @jobbus-run\/nojob-[a-z2-7]{16}@*$/m);
  t.false(processesWith(t.context.mark).some(isKeeper));
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

needsRoot('a neighbour who connects to the lock 40,000 times is refused each time, and changes nothing', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', `trap '${ASK}; exit 7' TERM; echo "$XDG_RUNTIME_DIR"; tail -f /dev/null & wait`], {user: victim});
  const directory = await run.line(/^\//);
  const storm = node.start([nodeFixture('storms-lock'), directory.split('/').at(-1)!], {user: neighbour});
  t.like(JSON.parse((await node.run(['--list', '--json'], {user: victim})).stdout), [{state: 'live', directory}]);
  t.like(await node.run(['--sweep'], {user: victim}), {code: 0, stdout: '', stderr: ''});
  t.like(await node.run(SHOW, {user: victim}), {code: 0, stderr: ''});
  t.like(await storm.result, {code: 0, stdout: 'refused 40000\n'});
  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 7, stderr: ''});
  t.deepEqual(node.sessions(), []);
});

needsFuse("a neighbour who takes the bus's name after the death of all, to point at a process, is not asked by a sweep", async t => {
  const {victim, neighbour} = users();
  const node = await startNodeWithoutSockets(t);
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo "$DBUS_SESSION_BUS_ADDRESS"; exec tail -f /dev/null'], {user: victim, environment: {JOBBUS_TEST_VICTIM: mark(t)}});
  const address = await run.line(/^unix:abstract=/);
  makeHome(t.context, victim);
  const agent = Number(/SSH_AGENT_PID=(\d+)/.exec((await node.start(['ssh-agent', '-s', '-a', '/mnt/home/agent'], {user: victim}).result).stdout)?.[1]);
  t.true(isRunning(agent));
  await killEverything(`JOBBUS_TEST_VICTIM=${mark(t)}`);
  await run.result;
  const bus = node.start([nodeFixture('false-bus'), address.replace('unix:abstract=', ''), String(agent)], {user: neighbour});
  await bus.line(/^bound$/);
  const {code, stdout} = await node.run(['--sweep'], {user: victim});
  t.is(code, 0);
  t.regex(stdout, /; removed\n$/);
  t.true(isRunning(agent), 'it was started elsewhere, and goes on');
  t.is(bus.output(), 'bound\n');
  [agent, bus.pid].forEach(pid => process.kill(pid, 'SIGKILL'));
  await bus.result;
});

/** A run and a command that live through the storm: both ignore the signal. */
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
