/** A FUSE whose server hangs, on what another session has left: whoever looks at it waits, and nobody may have to. */

import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {useBench, type Bench} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, nodeFixture, startNode, type OwnNode} from './helpers/own-node.js';
import {eventually, viewProcess} from './helpers/processes.js';
import {kill, killEverything} from './helpers/sessions.js';
import {useUsers} from './helpers/users.js';

useBench();

const users = useUsers();

/** A session in the node, with its directory's path there, of which everything was killed. */
async function deadIn(t: ExecutionContext<Bench>, node: OwnNode): Promise<string> {
  const entry = `JOBBUS_TEST_DEAD=${t.context.mark}`;
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'mkdir "$XDG_RUNTIME_DIR/m"; echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {
    environment: {JOBBUS_TEST_DEAD: t.context.mark},
  });
  const directory = await run.line(/^\/tmp\/jobbus-0\//);
  await killEverything(entry);
  await run.result;
  return directory;
}

/** Mounts on a path in the node what hangs until the test's end. @returns whether it is still mounted */
async function mountHanging(t: ExecutionContext<Bench>, node: OwnNode, path: string): Promise<() => boolean> {
  const {pid, result} = node.start(/\.json$|share-/.test(path) ? [nodeFixture('serves-file'), path] : ['bindfs', '-f', '-o', 'nonempty', '/mnt/install', path]);
  t.teardown(async () => {
    kill(pid);
    await result;
  });
  const isMounted = (): boolean => readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(` ${path} `);
  await eventually('the mount', isMounted);
  process.kill(pid, 'SIGSTOP');
  await eventually('the server to stop', () => viewProcess(pid)?.state === 'T');
  return isMounted;
}

/** Where, of the path of a dead session. */
const PLACES: Readonly<Record<string, (directory: string) => string>> = {
  'on a dead session': directory => directory,
  'in a dead session': directory => `${directory}/m`,
  "on a dead session's record": directory => `${directory}/session.json`,
  'on the parent of sessions': directory => directory.slice(0, -basename(directory).length - 1),
};

for (const [where, place] of Object.entries(PLACES)) {
  needsFuse(`a FUSE that hangs ${where} holds up no signal and no end of a run beside it, and goes with the session`, async t => {
    const node = await startNode(t);
    const directory = await deadIn(t, node);
    const isMounted = await mountHanging(t, node, place(directory));
    await forwardsAndEnds(t, node);
    await eventually('the session to be swept', () => node.sessions().length === 0 && !isMounted());
    t.false(isMounted());
  });

  needsFuse(`a FUSE that hangs ${where} holds up neither --list nor --doctor, which leave it, nor --sweep, which detaches it`, async t => {
    const node = await startNode(t);
    const directory = await deadIn(t, node);
    const isMounted = await mountHanging(t, node, place(directory));
    t.like(await node.run(['--list']), {code: 0, stderr: ''});
    t.true(isMounted());
    t.deepEqual(node.sessions().map(path => basename(path)), [basename(directory)]);
    const swept = await node.run(['--sweep']);
    t.like(swept, {code: 0, stderr: '', stdout: `${directory}: dead (its process is gone); removed\n`});
    t.false(isMounted());
    t.deepEqual(node.sessions(), []);
    await deadIn(t, node);
    t.like(await node.run(['--doctor']), {code: 0, stderr: ''});
    await eventually('what is dead to be swept beside the trial run', () => node.sessions().length === 0);
  });
}

needsFuse('a FUSE that hangs on a live session is left to it, and holds up nobody else', async t => {
  const node = await startNode(t);
  const owner = node.start([NODE_BINARY, '--', 'sh', '-c', 'trap "exit 7" TERM; echo "$XDG_RUNTIME_DIR"; while :; do sleep 0.02; done']);
  const directory = await owner.line(/^\/tmp\/jobbus-0\//);
  const isMounted = await mountHanging(t, node, directory);
  await forwardsAndEnds(t, node);
  t.regex((await node.run(['--list'])).stdout, new RegExp(`^live .* ${directory}$`, 'm'));
  t.like(await node.run(['--sweep']), {code: 0, stdout: '', stderr: ''});
  t.true(isMounted());
  process.kill(owner.pid, 'SIGTERM');
  t.like(await owner.result, {code: 7, stderr: ''});
  t.false(isMounted());
  t.deepEqual(node.sessions(), []);
});

needsFuse("what another user has mounted under a name of root's sessions, root's sweep and runs do not detach: a link might stand in its place", async t => {
  const {neighbour} = users();
  const node = await startNode(t, 'mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse');
  const server = node.start(['sh', '-c', 'mkdir /tmp/jobbus-0-x && exec bindfs -f --no-allow-other /mnt/install /tmp/jobbus-0-x'], {user: neighbour});
  const isMounted = async (): Promise<boolean> => (await node.start(['cat', '/proc/self/mountinfo']).result).stdout.includes(' /tmp/jobbus-0-x ');
  await eventually(() => `the mount: ${server.errors()}`, isMounted);
  t.like(await node.run(['--sweep']), {code: 0, stdout: '', stderr: ''});
  t.like(await node.run(['--', 'true']), {code: 0, stdout: '', stderr: ''});
  t.true(await isMounted());
  server.child.kill('SIGTERM');
  await server.result;
});

needsFuse('a FUSE that hangs on TMPDIR, or behind a link there, holds up nobody', async t => {
  const node = await startNode(t, 'mkdir -p /mnt/scratch/below; ln -s /mnt/scratch /mnt/link');
  await mountHanging(t, node, '/mnt/scratch');
  for (const TMPDIR of ['/mnt/scratch/below', '/mnt/link']) {
    const environment = {TMPDIR};
    await forwardsAndEnds(t, node, environment);
    const stderr = `jobbus-run: looking for sessions failed: ${TMPDIR}: its file system does not answer; try again when it does\n`;
    t.like(await node.run(['--list'], {environment}), {code: 0, stderr});
    t.like(await node.run(['--sweep'], {environment}), {code: 0, stderr});
  }

  const {code, stdout} = await node.run(['--doctor'], {environment: {TMPDIR: '/mnt/scratch'}});
  t.is(code, 0);
  t.regex(stdout, /^-- base +\/mnt\/scratch: its file system does not answer$/m);
});

needsFuse('a base that hangs is refused where it was asked for', async t => {
  const node = await startNode(t, 'mkdir /mnt/scratch');
  await mountHanging(t, node, '/mnt/scratch');
  const {code, stderr} = await node.run(['--runtime-base', '/mnt/scratch', '--', 'true']);
  t.is(stderr, 'jobbus-run: making a session directory failed: /mnt/scratch: its file system does not answer; name a usable directory with --runtime-base\n');
  t.is(code, 125);
});

needsFuse('a shell has its session although its TMPDIR hangs, and --stop ends it', async t => {
  const node = await startNode(t, 'mkdir /mnt/scratch');
  await mountHanging(t, node, '/mnt/scratch');
  const script = `eval "$(${NODE_BINARY} --sh-syntax)" && [ -S "$XDG_RUNTIME_DIR/bus" ] && eval "$(${NODE_BINARY} --stop)" && echo done`;
  t.like(await node.start(['sh', '-c', script], {environment: {TMPDIR: '/mnt/scratch'}}).result, {code: 0, stdout: 'done\n', stderr: ''});
});

/** Of a run that begins now, and is sent TERM. */
async function forwardsAndEnds(t: ExecutionContext<Bench>, node: OwnNode, environment: Record<string, string> = {}): Promise<void> {
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.02; done'], {environment});
  await run.line(/^ready$/);
  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 7, stderr: ''});
}

needsFuse('a FUSE that hangs on the file where tasks meet holds up no run, and keeps those who would meet there from it', async t => {
  const node = await startNode(t);
  const environment = {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0'};
  const first = await node.run(['--share', '--', 'sh', '-c', 'ls "$XDG_RUNTIME_DIR"/../ | grep share-'], {environment});
  const path = `/tmp/jobbus-0/${first.stdout.trim()}`;
  mkdirSync(join(node.tmp, 'jobbus-0'), {mode: 0o700});
  writeFileSync(join(node.tmp, path.slice('/tmp/'.length)), '');
  await mountHanging(t, node, path);
  t.like(await node.run(['--', 'echo', 'ran']), {code: 0, stdout: 'ran\n', stderr: ''});
  const {code, stdout} = await node.run(['--share', '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"'], {environment});
  t.is(code, 0);
  t.regex(stdout, /^\/tmp\/jobbus-0\//, 'they have met elsewhere');
  const {stderr} = await node.run(['--runtime-base', '/tmp', '--share', 'true'], {environment});
  t.is(stderr, `jobbus-run: sharing a session failed: no place serves to meet in: /tmp: a FUSE is mounted on ${path}; name a usable directory with --runtime-base\n`);
});
