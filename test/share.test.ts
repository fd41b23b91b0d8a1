/** `--share`: one session for all tasks of a step on a node. */

import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {isJobbusRun} from './helpers/ground.js';
import {fixture, needsRoot, test, useBench, withFault, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {NODE_BINARY, startNode} from './helpers/own-node.js';
import {descriptorsOf, environmentOf, eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {editRecord, keeperOf, kill, killEverything} from './helpers/sessions.js';
import {useUsers} from './helpers/users.js';

useBench();

const users = useUsers();

const STEP = {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0', SLURM_CLUSTER_NAME: 'one'};
const ASK = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId >/dev/null && echo "bus answers"';

/** Says its session's directory, and waits until its input ends. */
const WAITS = ['sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'];

interface Task extends Run {
  readonly directory: string;
}

/** @param words a command; options in front of `--` */
async function task(bench: Bench, options: readonly string[] = [], environment: Readonly<Record<string, string>> = STEP, command: readonly string[] = WAITS): Promise<Task> {
  const run = bench.start([...(options.some(word => word.startsWith('--share')) ? [] : ['--share']), ...options, '--', ...command], {environment});
  return {...run, directory: await run.line(/^\//)};
}

async function end({pid, result}: Run): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await result;
}

function rendezvousIn(base: string): string[] {
  return readdirSync(base).filter(name => name.startsWith('jobbus-')).flatMap(parent => readdirSync(join(base, parent)).filter(name => name.startsWith('share-')).map(name => join(base, parent, name)));
}

test('32 at the same moment make exactly one session, and nothing is left', async t => {
  const tasks = await Promise.all(Array.from({length: 32}, async () => task(t.context, [], STEP, ['sh', '-c', `echo "$XDG_RUNTIME_DIR"; ${ASK}; exec tail -f /dev/null`])));
  await Promise.all(tasks.map(async ({line}) => line(/^bus answers$/)));
  t.is(new Set(tasks.map(({directory}) => directory)).size, 1);
  t.is(processesWith(t.context.mark).filter(isJobbusRun).length, 1, 'all but the first are their commands');
  await Promise.all(tasks.map(end));
  await allGone(t.context);
});

/** Where the first has ended before the others, the keeper has the rest to do. */
async function allGone({base}: Bench): Promise<void> {
  await eventually(() => `all to be gone; there was ${readdirSync(base, {recursive: true}).join(' ')}`, () => readdirSync(base).length === 0);
}

test('steps, jobs and clusters have a session each; a name is within its job, and stands for itself outside of one', async t => {
  const cases: ReadonlyArray<readonly [string, Record<string, string>, string?]> = [
    ['step', STEP],
    ['step', {...STEP, SLURM_PROCID: '3'}],
    ['other step', {...STEP, SLURM_STEP_ID: '1'}],
    ['batch', {SLURM_JOB_ID: '7', SLURM_CLUSTER_NAME: 'one'}],
    ['other job', {...STEP, SLURM_JOB_ID: '8'}],
    ['other cluster', {...STEP, SLURM_CLUSTER_NAME: 'two'}],
    ['PBS', {PBS_JOBID: '7.server'}],
    ['LSF', {LSB_JOBID: '7', LSB_JOBINDEX: '1'}],
    ['LSF, another of the array', {LSB_JOBID: '7', LSB_JOBINDEX: '2'}],
    ['Flux', {FLUX_JOB_ID: '7'}],
    ['Grid Engine', {JOB_ID: '7', SGE_TASK_ID: '1'}],
    ['Grid Engine, another of the array', {JOB_ID: '7', SGE_TASK_ID: '2'}],
    ['name', STEP, 'x'],
    ['name', {...STEP, SLURM_STEP_ID: '1'}, 'x'],
    ['other name', STEP, 'y'],
    ['name, other job', {...STEP, SLURM_JOB_ID: '8'}, 'x'],
    ['name alone', {}, 'x'],
    ['name alone', {JOB_ID: 'anything'}, 'x'],
    ['slashes', {}, '../../x/'],
    ['long', {}, 'x'.repeat(4096)],
    ['longer', {}, 'x'.repeat(4097)],
    ['odd', {}, 'a\nb\u001B[2J'],
  ];
  const tasks = await Promise.all(cases.map(async ([what, environment, name]) => [what, await task(t.context, name === undefined ? [] : [`--share=${name}`], environment)] as const));
  const directories = new Map<string, Set<string>>();
  tasks.forEach(([what, {directory}]) => directories.set(what, (directories.get(what) ?? new Set()).add(directory)));
  t.true([...directories.values()].every(({size}) => size === 1));
  t.is(new Set(tasks.map(([, {directory}]) => directory)).size, directories.size);
  await Promise.all(tasks.map(async ([, each]) => end(each)));
  await allGone(t.context);
});

test('without a job and a name, and with an empty one: a line, 125, and nothing is started', async t => {
  t.like(await t.context.run(['--share', 'echo', 'ran']), {code: 125, stdout: '', stderr: 'jobbus-run: sharing a session failed: there is no job here of which all tasks could share one; name it, as in --share=NAME\n'});
  t.like(await t.context.run(['--share=', 'echo', 'ran']), {code: 125, stdout: '', stderr: 'jobbus-run: option --share needs a value that is not empty; see jobbus-run --help\n'});
  t.like(await t.context.run(['--share', '--sh-syntax']), {code: 125, stdout: 'false\n'});
  t.like(await t.context.run(['--share', 'nonsuch'], {environment: STEP}), {code: 127, stdout: ''});
  t.deepEqual(readdirSync(t.context.base), []);
});

test('who is not the first becomes its command: its pid and status, and nothing of ours beside it or in it', async t => {
  const first = await task(t.context);
  const run = t.context.start(['--share', '--', 'sh', '-c', 'readlink /proc/$$/fd/*; echo ready; exec tail -f /dev/null'], {environment: {...STEP, JOBBUS_TEST_MEMBER: t.context.mark}});
  await run.line(/^ready$/);
  t.deepEqual(processesWith(`JOBBUS_TEST_MEMBER=${t.context.mark}`).map(({pid}) => pid), [run.pid]);
  t.false(/jobbus|share-/.test(run.output()), run.output());
  await end(run);
  t.is((await run.result).signal, 'SIGTERM');
  t.is((await t.context.run(['--share', '--', 'sh', '-c', 'exit 9'], {environment: STEP})).code, 9);
  await end(first);
});

test('the first returns the status 0 of its command when the last has ended, and says for whom it waits', async t => {
  const first = t.context.start(['-v', '--share', '--', 'sh', '-c', 'echo ready; read -r line'], {environment: STEP, stdio: ['pipe', 'pipe', 'pipe'], input: ''});
  await first.errorLine(/the first to share a session by SLURM_JOB_ID=7 SLURM_CLUSTER_NAME=one SLURM_STEP_ID=0$/);
  const other = t.context.start(['-v', '--share', '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null'], {environment: STEP});
  await other.line(/^ready$/);
  await end(other);
  await first.result;
  t.pass();
});

/** A first whose command ends at the word, and another, who waits. */
async function pair(bench: Bench, status: number, options: readonly string[] = []): Promise<{readonly first: Task; readonly other: Task; readonly go: () => void}> {
  const file = join(bench.base, 'go');
  const first = await task(bench, ['-v', ...options], STEP, ['sh', '-c', `echo "$XDG_RUNTIME_DIR"; until [ -e ${file} ]; do sleep 0.02; done; exit ${status}`]);
  const other = await task(bench, ['-v', ...options]);
  return {first, other, go: () => writeFileSync(file, '')};
}

test('a first that has done waits for the others; who joins meanwhile, it waits for, too', async t => {
  const {first, other, go} = await pair(t.context, 0);
  go();
  await first.errorLine(new RegExp(`has 1 other: ${other.pid}$`));
  const late = await task(t.context);
  t.is(late.directory, first.directory);
  await end(other);
  await first.errorLine(new RegExp(`has 1 other: ${late.pid}$`));
  t.is(first.child.exitCode, null);
  await end(late);
  t.is((await first.result).code, 0);
  t.deepEqual(rendezvousIn(t.context.base), []);
});

test('a first whose command fails returns at once; the keeper ends the session when the last has ended, who has a bus until then', async t => {
  const {first, other, go} = await pair(t.context, 3);
  go();
  t.is((await first.result).code, 3);
  t.regex(first.errors(), /the command has failed: the keeper ends the session when the last that shares it has ended\n/);
  const late = await task(t.context, [], STEP, ['sh', '-c', `echo "$XDG_RUNTIME_DIR"; ${ASK}; exec tail -f /dev/null`]);
  t.is(late.directory, other.directory);
  await late.line(/^bus answers$/);
  t.regex((await t.context.run(['--list'])).stdout, new RegExp(`^live .* 2 .* ${late.directory}$`, 'm'));
  await end(other);
  await end(late);
  await eventually('the keeper to end the session', () => t.context.sessions().length === 0);
});

test('a failing first that is alone ends the session itself', async t => {
  t.is((await t.context.run(['--share', '--', 'sh', '-c', 'exit 3'], {environment: STEP})).code, 3);
  t.deepEqual(readdirSync(t.context.base), []);
});

test('a TERM to a first that waits ends the waiting, not the session', async t => {
  const {first, other, go} = await pair(t.context, 0);
  go();
  await first.errorLine(/has 1 other/);
  process.kill(first.pid, 'SIGTERM');
  t.is((await first.result).code, 0);
  t.true(isRunning(other.pid));
  await end(other);
});

test('what one of them leaves running ends with the session, and not before', async t => {
  const first = await task(t.context);
  const other = await task(t.context, [], STEP, ['sh', '-c', 'setsid tail -f /dev/null </dev/null >/dev/null 2>&1 & echo "/$!"']);
  await other.result;
  const left = Number(other.directory.slice(1));
  t.true(isRunning(left));
  await end(first);
  await eventually('it to end', () => !isRunning(left));
});

test('after kill -9 of the first the others go on, and the keeper ends all when the last has ended', async t => {
  const first = await task(t.context);
  const other = await task(t.context, [], STEP, ['sh', '-c', `echo "$XDG_RUNTIME_DIR"; until ! kill -0 ${first.pid} 2>/dev/null; do sleep 0.02; done; sleep 0.2; ${ASK}; exec tail -f /dev/null`]);
  kill(first.pid);
  t.is(await other.line(/^bus/), 'bus answers');
  await end(other);
  // What was its command has its output until the session ends.
  await first.result;
});

test('after kill -9 of the keeper, and of one that shares, the first ends the session', async t => {
  const {first, other, go} = await pair(t.context, 0);
  kill((await keeperOf(t.context)).pid);
  kill(other.pid);
  await other.result;
  go();
  t.is((await first.result).code, 0);
});

test('where all of it is killed at once, the next run leaves nothing', async t => {
  const [first] = [await task(t.context), await task(t.context)];
  await killEverything(t.context.mark);
  await first.result;
  t.is(rendezvousIn(t.context.base).length, 1);
  const {stderr} = await t.context.run(['-v', '--', 'true']);
  await eventually(() => `all to be swept; there was ${t.context.sessions().join(' ')}, and the run said ${stderr}`, () => t.context.sessions().length === 0);
});

test('a first that is killed while the others wait for it: one of them makes the session', async t => {
  // The first lock that it takes is the rendezvous'.
  const {program, words} = withFault('flock:signal=STOP:when=1', ['--share', '--', ...WAITS]);
  const first = t.context.start(words, {program, environment: STEP});
  await eventually('it to have the lock', () => viewProcess(first.pid)?.state.toLowerCase() === 't' && isMeeting(first.pid));
  const others = Array.from({length: 4}, () => t.context.start(['--share', '--', ...WAITS], {environment: STEP}));
  await eventually('the others to wait', () => others.every(({pid}) => isMeeting(pid)));
  kill(first.pid);
  const directories = await Promise.all(others.map(async ({line}) => line(/^\//)));
  t.is(new Set(directories).size, 1);
  await first.result;
  await Promise.all(others.map(end));
});

/** Whether it has the rendezvous open. */
function isMeeting(pid: number): boolean {
  return [...descriptorsOf(pid).values()].some(target => basename(target).startsWith('share-'));
}

test('who comes as the session ends has one of its own, which others then share', async t => {
  const first = await task(t.context, ['--stop-timeout', '60'], STEP, ['sh', '-c', `${fixture('ignores-term')} & echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null`]);
  const stubborn = await eventually('what ignores TERM', () => processesWith(t.context.mark).find(({words}) => words.some(word => word.endsWith('ignores-term'))));
  await first.line(/^ready/);
  process.kill(first.pid, 'SIGTERM');
  await eventually('it to end', () => !existsSync(rendezvousIn(t.context.base)[0] ?? '/nowhere'));
  const [next, other] = [await task(t.context), await task(t.context)];
  t.not(next.directory, first.directory);
  t.is(other.directory, next.directory);
  kill(stubborn.pid);
  await first.result;
  t.is(rendezvousIn(t.context.base).length, 1, 'the one of the next stays');
  await Promise.all([end(other), end(next)]);
});

test('other options for the session: who comes later is told, and the session stays as it is', async t => {
  const first = await task(t.context, ['--no-services']);
  const hopeful = await task(t.context, ['--no-services', '--keyring']);
  t.is(hopeful.errors(), `jobbus-run: sharing ${first.directory}: it was begun with --no-services, and not with --no-services --keyring; it stays as it is\n`);
  await end(hopeful);
  const other = await task(t.context, ['--config-file', '/etc/x.conf']);
  t.is(other.errors(), `jobbus-run: sharing ${first.directory}: it was begun with --no-services, and not with --config-file /etc/x.conf; it stays as it is\n`);
  t.is(other.directory, first.directory);
  await end(other);
  await end(first);
});

test('--list shows who shares a session, and --doctor what would be joined', async t => {
  const doctor = async (environment: Record<string, string>): Promise<string> => (/^-- share +(.*)$/m.exec((await t.context.run(['--doctor'], {environment})).stdout))![1]!;
  t.is(await doctor({}), 'there is no job to share a session in; --share needs a name');
  t.is(await doctor(STEP), 'a run with --share would be the first by SLURM_JOB_ID=7 SLURM_CLUSTER_NAME=one SLURM_STEP_ID=0');
  const [first, other] = [await task(t.context), await task(t.context)];
  t.is(await doctor(STEP), `a run with --share would join ${first.directory}, by SLURM_JOB_ID=7 SLURM_CLUSTER_NAME=one SLURM_STEP_ID=0`);
  const [session] = (JSON.parse((await t.context.run(['--list', '--json'])).stdout) as Array<{directory: string; members: number[] | null}>).filter(({directory}) => directory === first.directory);
  t.deepEqual(session?.members, [other.pid]);
  await end(other);
  await end(first);
});

/** What may stand in the rendezvous' place, as left by a dead session, another version or anybody. */
const LEFT: Readonly<Record<string, string>> = {
  'the path of what is gone': '/tmp/jobbus-0/7-abcdefghabcdefgh\n',
  'the path of what is no session': '/etc\n',
  nonsense: '\0\xff{"x":1}',
  nothing: '',
  'a megabyte': 'x'.repeat(1_000_000),
};

for (const [what, content] of Object.entries(LEFT)) {
  test(`a rendezvous with ${what} in it serves, and goes with its session`, async t => {
    const first = await task(t.context);
    const [path = ''] = rendezvousIn(t.context.base);
    await end(first);
    mkdirSync(dirname(path), {mode: 0o700});
    writeFileSync(path, content);
    const [one, other] = [await task(t.context), await task(t.context)];
    t.is(one.directory, other.directory);
    await end(other);
    await end(one);
    t.deepEqual(readdirSync(t.context.base), []);
  });
}

test('a rendezvous that nobody needs goes with the next sweep, and beside the next run', async t => {
  const first = await task(t.context);
  const [path = ''] = rendezvousIn(t.context.base);
  await end(first);
  for (const words of [['--sweep'], ['--', 'true']]) {
    mkdirSync(dirname(path), {mode: 0o700});
    writeFileSync(path, '');
    t.is((await t.context.run(words)).code, 0);
    await eventually('it to be gone', () => !existsSync(path));
  }
});

for (const [what, make] of [['a directory', 'mkdir'], ['a FIFO', 'mkfifo']] as const) {
  test(`${what} in the place of the rendezvous: a line, and 125`, async t => {
    const first = await task(t.context);
    const [path = ''] = rendezvousIn(t.context.base);
    await end(first);
    mkdirSync(dirname(path), {mode: 0o700});
    execFileSync(make, [path]);
    const {code, stdout, stderr} = await t.context.run(['--share', 'echo', 'ran'], {environment: STEP});
    t.deepEqual([code, stdout], [125, '']);
    t.regex(stderr, /^jobbus-run: sharing a session failed: no place serves to meet in: [^\n]*; name a usable directory with --runtime-base\n$/);
    execFileSync('rm', ['-r', dirname(path)]);
  });
}

test('where no file can be locked: a line, and 125', async t => {
  const {program, words} = withFault('flock:error=ENOLCK', ['--share', 'echo', 'ran']);
  const {code, stdout, stderr} = await t.context.run(words, {program, environment: STEP});
  t.deepEqual([code, stdout], [125, '']);
  t.regex(stderr, /^jobbus-run: sharing a session failed: no place serves to meet in: [^\n]*: it takes no locks: [^\n]*\n$/);
});

test('a session of another host or boot, of which the rendezvous tells, is not joined', async t => {
  const [first, other] = [await task(t.context), await task(t.context)];
  editRecord(first.directory, {boot: 'another', host: 'node7', networkNamespace: 'net:[1]'});
  const next = await task(t.context);
  t.not(next.directory, first.directory);
  await Promise.all([end(next), end(other)]);
  await end(first);
});

needsRoot('two users never share', async t => {
  const launcher = installFor(t.context);
  const options: StartOptions = {environment: STEP};
  const first = await task(t.context, ['--share=x']);
  const other = t.context.start(asNobody(launcher, '--share=x', '--runtime-base', '/tmp', '--', ...WAITS), {...options, program: 'setpriv'});
  t.regex(await other.line(/^\//), /^\/tmp\/jobbus-65534\//);
  await end(other);
  await end(first);
});

needsRoot('where a neighbour sits on the name of the parent, the next base serves to meet in; where on all, a line says so', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t);
  const squat = async (base: string): Promise<unknown> => node.start(['mkdir', '-m', '777', `${base}/jobbus-${victim.id}`], {user: neighbour}).result;
  const start = (): Run => node.start([NODE_BINARY, '--share', '--', ...WAITS], {user: victim, environment: STEP});
  await squat('/tmp');
  const tasks = [start(), start(), start()];
  const directories = await Promise.all(tasks.map(async ({line}) => line(/^\//)));
  t.is(new Set(directories).size, 1);
  t.deepEqual(readdirSync(join(node.tmp, `jobbus-${victim.id}`)), []);
  for (const {pid} of processesWith(t.context.mark).filter(({pid, words}) => words[0] === 'tail' && environmentOf(pid).includes('SLURM_STEP_ID=0'))) {
    process.kill(pid, 'SIGTERM');
  }

  await Promise.all(tasks.map(async ({result}) => result));
  await eventually('the last to be gone', () => readdirSync(node.shm).length === 0);
  await squat('/dev/shm');
  const {code, stderr} = await start().result;
  t.is(code, 125, stderr);
  t.regex(stderr, /^jobbus-run: sharing a session failed: no place serves to meet in: \/tmp: another user sits on [^\n]*; \/dev\/shm: another user sits on [^\n]*\n$/);
});
