/** `--share` beside hostile neighbours and odd programs of one's own: meeting file, register and keys as they should not be, and joiners that stop or die. */

import {execFileSync} from 'node:child_process';
import {appendFileSync, chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {binary, inMountNamespace, test, needsRoot, useBench, withFault, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, startNode, withServer} from './helpers/own-node.js';
import {descriptorsOf, eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {editRecord, kill} from './helpers/sessions.js';
import {useUsers} from './helpers/users.js';

useBench();

const users = useUsers();

const STEP = {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0', SLURM_CLUSTER_NAME: 'one'};

/** Says its session's directory, and waits until it is ended. */
const WAITS = ['sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'];

interface Task extends Run {
  readonly directory: string;
}

async function task({start}: Bench, environment: StartOptions['environment'] = STEP): Promise<Task> {
  const run = start(['--share', '--', ...WAITS], {environment});
  return {...run, directory: await run.line(/^\//)};
}

async function end({pid, result}: Run): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await result;
}

function meetingFile(parent: string): string {
  const [name = ''] = readdirSync(parent).filter(entry => entry.startsWith('share-'));
  return join(parent, name);
}

async function stopped({pid}: Run): Promise<void> {
  await eventually('it to be stopped', () => viewProcess(pid)?.state.toLowerCase() === 't');
}

/** One that stops behind the n-th of these calls. */
function stopping({start}: Bench, call: string, when = 1): Run {
  const {program, words} = withFault(`${call}:signal=STOP:when=${when}`, ['--share', '--', ...WAITS]);
  return start(words, {program, environment: STEP});
}

test('one that stops as it enters the register holds up nobody, and counts as one that has joined', async t => {
  const first = await task(t.context);
  const register = join(first.directory, '.jobbus-run');
  // Its first writes the name of the process.
  const odd = stopping(t.context, 'write', 2);
  await stopped(odd);
  t.true(readFileSync(register, 'utf8').includes(`member ${odd.pid} `));
  const other = await task(t.context);
  t.is(other.directory, first.directory);
  await end(other);
  await end(first);
  t.deepEqual(t.context.sessions().filter(path => path === first.directory), [first.directory]);
  process.kill(odd.pid, 'SIGCONT');
  t.is(await odd.line(/^\//), first.directory);
  await end(odd);
});

test('one that stops before it has entered, and goes on when the session has ended, makes the next', async t => {
  const first = await task(t.context);
  const odd = stopping(t.context, 'connect');
  await stopped(odd);
  await end(first);
  process.kill(odd.pid, 'SIGCONT');
  t.not(await odd.line(/^\//), first.directory);
  await end(odd);
});

test('who holds the lock of the meeting file holds up nobody where there is a session', async t => {
  const first = await task(t.context);
  const path = meetingFile(dirname(first.directory));
  const holder = t.context.start(['--no-fork', path, 'sh', '-c', 'echo held; exec tail -f /dev/null'], {program: 'flock'});
  await holder.line(/^held$/);
  const other = await task(t.context);
  t.is(other.directory, first.directory);
  await end(other);
  await end(first);
  await end(holder);
  t.is((await t.context.run(['--sweep'])).code, 0);
  t.deepEqual(readdirSync(t.context.base), []);
});

test('who was suspended for more than a minute has not waited that long for the session', async t => {
  const first = stopping(t.context, 'flock');
  await stopped(first);
  const other = t.context.start(['--share', '--', ...WAITS], {environment: STEP});
  await eventually('it to wait', () => [...descriptorsOf(other.pid).values()].some(target => basename(target).startsWith('share-')));
  process.kill(other.pid, 'SIGSTOP');
  await stopped(other);
  // As long as who waits has patience, and some more.
  await new Promise(resolve => setTimeout(resolve, 62_000));
  const before = looks(other);
  process.kill(other.pid, 'SIGCONT');
  await eventually('it to look again, and wait on', () => looks(other) > before + 2);
  process.kill(first.pid, 'SIGCONT');
  t.is(await other.line(/^\//), await first.line(/^\//));
  await end(other);
  await end(first);
});

/** It sleeps between two. */
function looks({pid}: Run): number {
  return Number(/^voluntary_ctxt_switches:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

/** What a command may make of the marker. */
const MARKERS: Readonly<Record<string, (path: string) => void>> = {
  'is gone': path => rmSync(path),
  'is a directory': path => mkdirSync(path),
  'is a FIFO': path => execFileSync('mkfifo', [path]),
  'is a link to itself': path => symlinkSync(path, path),
  'is closed': path => appendFileSync(path, 'closed\n'),
  'has twenty megabytes': path => writeFileSync(path, 'x'.repeat(20_000_000)),
};

for (const [what, make] of Object.entries(MARKERS)) {
  test(`where the marker ${what}, who comes makes the next session, and this one ends with its first`, async t => {
    const first = await task(t.context);
    const marker = join(first.directory, '.jobbus-run');
    if (what.startsWith('is a')) {
      rmSync(marker);
    }

    make(marker);
    const [next, other] = [await task(t.context), await task(t.context)];
    t.not(next.directory, first.directory);
    t.is(other.directory, next.directory);
    await end(first);
    await end(other);
    await end(next);
  });
}

test('lines of a register that name what is not there, or are none, are nobody', async t => {
  const first = await task(t.context);
  const own = `member ${process.pid} 1\nmember 1 1\nmember 99999999999 5\nmember -1 5\nmember\nmember ${first.pid}\n\0\xff\nguest ${process.pid} 1\nmember 1`;
  appendFileSync(join(first.directory, '.jobbus-run'), own);
  const other = await task(t.context);
  t.is(other.directory, first.directory);
  const {stdout} = await t.context.run(['--list', '--json']);
  t.deepEqual((JSON.parse(stdout) as Array<{members: number[]}>).map(({members}) => members), [[other.pid]]);
  await end(other);
  await end(first);
});

test('a session of another version, of which the meeting file tells, is not joined, and lives on', async t => {
  const first = await task(t.context);
  editRecord(first.directory, {format: 99});
  const next = await task(t.context);
  t.not(next.directory, first.directory);
  t.true(isRunning(first.pid));
  await end(next);
  await end(first);
});

test('names of jobs of whatever bytes: two are two, and what is said of them is one line', async t => {
  const odd = [`7/../8`, '7\n8', '7\u001B[2J', `7${'x'.repeat(4096)}`, `7${'x'.repeat(4097)}`, '7\u2028', '7 SLURM_STEP_ID=0'];
  const environments = odd.map(id => ({...STEP, SLURM_JOB_ID: id}));
  const tasks = await Promise.all(environments.map(async environment => task(t.context, environment)));
  t.is(new Set(tasks.map(({directory}) => directory)).size, odd.length);
  for (const environment of environments) {
    const {stderr, stdout} = await t.context.run(['-v', '--share', 'true'], {environment});
    const {stdout: doctor} = await t.context.run(['--doctor'], {environment});
    t.false(/[^\n\x20-\x7e…→]/.test(`${stderr}${stdout}${/^-- share.*$/m.exec(doctor)![0]}`), stderr);
    t.true(stderr.trimEnd().split('\n').every(line => line.startsWith('jobbus-run')), stderr);
  }

  await Promise.all(tasks.map(end));
});

/** Each a call of one that joins; as it dies behind it, it may have joined or not. */
for (const call of ['openat', 'read', 'write', 'connect', 'close', 'execve', 'prctl']) {
  test(`joiners that are killed at a call of ${call} leave the session as it was`, async t => {
    const first = await task(t.context);
    await Promise.all([1, 2, 4, 8, 16, 32, 48].map(async when => {
      const {program, words} = withFault(`${call}:signal=KILL:when=${when}`, ['--share', 'true']);
      return t.context.run(words, {program, environment: STEP});
    }));
    const other = await task(t.context);
    t.is(other.directory, first.directory);
    await end(other);
    await end(first);
    t.deepEqual(readdirSync(t.context.base), []);
  });
}

needsRoot('where there is room for the parent and not for the file to meet at, the parent goes again', async t => {
  const {program, words} = inMountNamespace('mount -t tmpfs -o nr_inodes=2 jbt "$JOBBUS_RUNTIME_BASE"', ['sh', '-c', '"$@"; echo $?; ls -A "$JOBBUS_RUNTIME_BASE"', 'sh', binary]);
  const {stdout, stderr} = await t.context.run([...words, '--share=few-files', '--', 'true'], {program});
  t.is(stderr, `jobbus-run: sharing a session failed: no place serves to meet in: ${t.context.base}: no space left on device; name a usable directory with --runtime-base\n`);
  t.is(stdout, '125\n');
});

needsRoot('a neighbour who has put a meeting file in a parent that was open, and holds its lock, keeps nobody waiting', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const start = (): Run => node.start([NODE_BINARY, '--share', '--', ...WAITS], {user: victim, environment: {...STEP, JOBBUS_TEST_SHARE: t.context.mark}});
  const parent = join(node.tmp, `jobbus-${victim.id}`);
  const before = start();
  await before.line(/^\//);
  const name = meetingFile(parent).slice(parent.length + 1);
  await endAll(t.context, before);
  await node.start(['mkdir', '-m', '777', `/tmp/jobbus-${victim.id}`], {user: victim}).result;
  chmodSync(parent, 0o777);
  const path = `/tmp/jobbus-${victim.id}/${name}`;
  const holder = node.start(['sh', '-c', `umask 0; echo /etc >${path}; exec flock --no-fork ${path} sh -c 'echo held; exec tail -f /dev/null'`], {user: neighbour, environment: {JOBBUS_TEST_SHARE: t.context.mark}});
  await holder.line(/^held$/);
  const [one, other] = [start(), start()];
  const directories = [await one.line(/^\//), await other.line(/^\//)];
  t.is(directories[0], directories[1]);
  t.is(statSync(parent).mode & 0o777, 0o700);
  await endAll(t.context, one, other, holder);
});

/** What they have become, or started. */
async function endAll({mark}: Bench, ...runs: readonly Run[]): Promise<void> {
  processesWith(`JOBBUS_TEST_SHARE=${mark}`).filter(({words}) => words[0] === 'tail').forEach(({pid}) => kill(pid));
  await Promise.all(runs.map(async ({result}) => result));
}

needsFuse('a run does not look at the session of which a meeting file tells, where a server hangs', async t => {
  const node = await startNode(t, `mkdir /mnt/cache; ${withServer('/mnt/cache', 'exec bindfs -f /mnt/cache /mnt/cache')}`);
  const server = processesWith(t.context.mark).find(({words}) => words[0] === 'bindfs')!;
  const parent = join(node.tmp, `jobbus-${process.getuid!()}`);
  mkdirSync(parent, {mode: 0o700});
  writeFileSync(join(parent, `share-${'0'.repeat(32)}`), `/mnt/cache/${basename(parent)}/7-abcdefghabcdefgh\n`);
  process.kill(server.pid, 'SIGSTOP');
  await eventually('the server to stop', () => viewProcess(server.pid)?.state === 'T');
  const run = node.start([NODE_BINARY, '--', 'true']);
  const timer = setTimeout(() => process.kill(server.pid, 'SIGCONT'), 10_000);
  t.is((await run.result).code, 0);
  t.is(viewProcess(server.pid)?.state, 'T', 'it was not waited for');
  clearTimeout(timer);
  process.kill(server.pid, 'SIGCONT');
  rmSync(parent, {recursive: true});
});
