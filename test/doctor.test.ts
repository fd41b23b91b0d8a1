import {chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {binary, fixture, needsRoot, project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, startNode, withoutSockets, type EnterOptions, type OwnNode} from './helpers/own-node.js';
import {eventually, isBlocked, processesWith} from './helpers/processes.js';
import {killEverything} from './helpers/sessions.js';
import {NOBODY} from './helpers/nobody.js';

useBench();

/** The lines of a topic, without it. */
function linesOf({stdout}: Result, topic: string): string[] {
  return stdout.split('\n').filter(line => line.slice(3, 17).trim() === topic).map(line => line.slice(0, 3) + line.slice(18));
}

/** What it runs on, the line before all others. */
function topOf({stdout}: Pick<Result, 'stdout'>): string {
  return /^ok jobbus-run .*\n/.exec(stdout)?.[0] ?? '';
}

function lastLine({stdout}: Result): string {
  return stdout.split('\n').at(-2)!;
}

async function diagnose(t: ExecutionContext<Bench>, lines = '', options: EnterOptions = {}): Promise<Result> {
  const node = await startNode(t, lines);
  return diagnosed(t, node, options);
}

async function diagnosed(t: ExecutionContext<Bench>, node: OwnNode, options: EnterOptions = {}): Promise<Result> {
  const before = node.sessions();
  const result = await node.run(['--doctor'], options);
  t.is(result.stderr, '');
  t.deepEqual(node.sessions(), before);
  t.notRegex(result.stdout.replaceAll('\n', ''), /\p{C}/u, 'no colour');
  return result;
}

const WELL = /^ok a session came and went in \d+ ms, and its bus answered$/;

test('what hangs can be broken off', async t => {
  const run = t.context.start(['--dbus-daemon', fixture('hangs'), '--doctor']);
  await eventually('it to hang', () => processesWith(t.context.mark).some(({words}) => words.join(' ') === 'tail -f /dev/null') && isBlocked(run.pid, 'SIGTERM'));
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).signal, 'SIGTERM');
});

needsRoot('on a node where all is well, it says so', async t => {
  const result = await diagnose(t);
  t.is(result.code, 0);
  t.regex(topOf(result), /^ok jobbus-run +\d[\w.-]+, \/mnt\/install\/bin\/jobbus-run, on Bun 1\.[\d.]+\n$/);
  t.regex(linesOf(result, 'dbus-daemon').join('\n'), /^ok 1\.[\d.]+, \/usr\/bin\/dbus-daemon of root, with its own session\.conf$/);
  t.deepEqual(linesOf(result, 'base'), [
    'ok /tmp: the usual place, local; a run would go here',
    'ok /dev/shm: in memory, local; would serve',
    '-- /nowhere/.cache: no such file or directory',
  ]);
  t.deepEqual(linesOf(result, 'scheduler'), ['-- none seen']);
  t.deepEqual(linesOf(result, 'leaked'), []);
  t.deepEqual(linesOf(result, 'sessions'), ['-- 0 live, 0 dead']);
  t.regex(linesOf(result, 'trial run').join('\n'), WELL);
  t.is(lastLine(result), 'All is well.');
});

needsRoot('the screenful that is shown to people is a true one', async t => {
  const shown = /```text\n(ok jobbus-run [^`]*)```/.exec(readFileSync(join(project, 'docs/troubleshooting.md'), 'utf8'))![1]!;
  const node = await startNode(t);
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  const result = await diagnosed(t, node, {environment: {HOME: '/home/me', SLURM_JOB_ID: '4711', XDG_RUNTIME_DIR: '/run/user/4711'}});
  // What differs from machine to machine.
  const general = (text: string): string => text.slice(topOf({stdout: text}).length).replace(/1\.\d+\.\d+,/, '').replace(/\d+ ms/, '');
  t.is(general(result.stdout), general(shown));
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).code, 143);
});

needsRoot('without a dbus-daemon, it says what to do', async t => {
  const result = await diagnose(t, 'mount --bind /dev/null /usr/bin/dbus-daemon', {prefix: ['/usr/bin/env', 'PATH=/nowhere']});
  t.is(result.code, 1);
  t.regex(linesOf(result, 'dbus-daemon').join('\n'), /^!! looking for dbus-daemon in \/usr\/bin and on PATH failed: there is none; install it/);
  t.regex(linesOf(result, 'trial run').join('\n'), /^!! failed with status 125: looking for dbus-daemon /);
  t.is(lastLine(result), 'To do: install dbus-daemon, or name one with --dbus-daemon.');
});

for (const [what, daemon, verdict, trial] of [
  ['is missing', '/nowhere/dbus-daemon', /^!! using "\/nowhere\/dbus-daemon" as the dbus-daemon failed: it is not an executable file/, /^!! failed with status 125: using /],
  ['is none', '/bin/false', /^!! \/bin\/false does not run$/, /^!! failed with status 125: starting \/bin\/false failed: /],
] as const) {
  test(`with a JOBBUS_DBUS_DAEMON that ${what}, it says what to do`, async t => {
    const result = await t.context.run(['--doctor'], {environment: {JOBBUS_DBUS_DAEMON: daemon}});
    t.is(result.stderr, '');
    t.is(result.code, 1);
    t.regex(linesOf(result, 'dbus-daemon').join('\n'), verdict);
    t.regex(linesOf(result, 'trial run').join('\n'), trial);
    t.is(lastLine(result), 'To do: the variable JOBBUS_DBUS_DAEMON names it: change or unset that.');
  });
}

test('a bus that does not answer is seen', async t => {
  const result = await t.context.run(['--dbus-daemon', fixture('stubborn-daemon'), '--doctor']);
  t.regex(linesOf(result, 'dbus-daemon').join('\n'), /^ok 1\.0, .*\/stubborn-daemon of (root|yours), with a configuration of ours: it has no session\.conf$/);
  t.deepEqual(linesOf(result, 'trial run'), ['!! its bus did not answer']);
  t.is(lastLine(result), 'To do: see what the trial run says.');
  t.is(result.code, 1);
});

needsFuse('each base that cannot serve has a reason', async t => {
  const lines = `${withoutSockets('/tmp')}
    mount -t tmpfs -o size=4k,mode=1777 none /dev/shm; echo x >/dev/shm/full
    mkdir -m 777 /mnt/open; mkdir /mnt/cache; mount --bind /mnt/cache /mnt/cache; mount -o remount,bind,ro /mnt/cache`;
  const result = await diagnose(t, lines, {environment: {TMPDIR: '/mnt/open', XDG_CACHE_HOME: '/mnt/cache'}});
  t.deepEqual(linesOf(result, 'base'), [
    '-- /mnt/open: others may write there and it is not sticky: they could take away what we put there',
    '-- /dev/shm: no space left on device',
    '-- /mnt/cache: read-only file system',
    '-- /tmp: no socket can be bound there: operation not permitted',
    'ok /tmp: the bus without a path, network (FUSE); a run would go here',
  ]);
  t.regex(linesOf(result, 'trial run').join('\n'), /^ok a session came and went in \d+ ms/);
  t.is(result.code, 0);
});

needsRoot('a place that is named twice is looked at once', async t => {
  const result = await diagnose(t, 'mount -o remount,bind,ro /tmp', {environment: {TMPDIR: '/tmp'}});
  t.deepEqual(linesOf(result, 'base').slice(0, 2), ['-- /tmp: read-only file system', 'ok /dev/shm: in memory, local; a run would go here']);
});

needsRoot('where no base serves, it says what to do', async t => {
  const result = await diagnose(t, 'mount -o remount,bind,ro /tmp; mount -o remount,bind,ro /dev/shm', {environment: {TMPDIR: `/mnt/${'x'.repeat(90)}`}});
  t.is(result.code, 1);
  t.deepEqual(linesOf(result, 'base'), [
    '-- /tmp: read-only file system',
    `-- /mnt/${'x'.repeat(90)}: no such file or directory`,
    '-- /dev/shm: read-only file system',
    '-- /nowhere/.cache: no such file or directory',
    '!! no place serves',
  ]);
  t.regex(linesOf(result, 'trial run').join('\n'), /^!! failed with status 125: making a session directory failed: \/tmp: read-only file system; /);
  t.is(lastLine(result), 'To do: name a usable directory with --runtime-base.');
});

needsRoot('what variables hold can do nothing to a terminal', async t => {
  const hostile = '\u001B[2J\u009B2J\u202E\u2028\nok';
  // It proves that nothing of the kind comes out.
  const result = await diagnose(t, '', {environment: {TMPDIR: `/mnt/${hostile}`, XDG_RUNTIME_DIR: `/nowhere/${hostile}`, SLURM_JOB_ID: hostile}});
  t.deepEqual(linesOf(result, 'scheduler'), ['-- Slurm, job ?[2J?2J???ok']);
  t.deepEqual(linesOf(result, 'leaked'), ['-- XDG_RUNTIME_DIR=/nowhere/?[2J?2J???ok, which does not exist; a run sets its own']);
  t.true(linesOf(result, 'base').includes('-- /mnt/?[2J?2J???ok: no such file or directory'));
});

test('--runtime-base is looked at alone', async t => {
  const result = await t.context.run(['--runtime-base', '/nowhere', '--doctor']);
  t.is(result.code, 1);
  t.deepEqual(linesOf(result, 'base'), ['-- /nowhere: no such file or directory', '!! no place serves']);
  t.deepEqual(linesOf(await t.context.run(['--runtime-base', t.context.base, '--doctor']), 'base'), [`ok ${t.context.base}: as asked for, local; a run would go here`]);
});

for (const [environment, seen] of [
  [{SLURM_JOB_ID: '4711'}, 'Slurm, job 4711'],
  [{PBS_JOBID: '12.server'}, 'PBS, job 12.server'],
  [{LSB_JOBID: '12'}, 'LSF, job 12'],
  [{FLUX_JOB_ID: 'ƒ2'}, 'Flux, job ƒ2'],
  [{JOB_ID: '12', SGE_CELL: 'default'}, 'Grid Engine, job 12'],
  [{_CONDOR_SCRATCH_DIR: '/var/lib/condor/execute/dir_12'}, 'HTCondor, job dir_12'],
  [{_CONDOR_SCRATCH_DIR: '/srv'}, 'none seen'],
  [{JOB_ID: '12'}, 'none seen'],
  [{SLURM_JOB_ID: '1\u001B[2J\n'}, 'Slurm, job 1?[2J?'],
] as const) {
  test(`${JSON.stringify(environment)}: ${seen}`, async t => {
    t.deepEqual(linesOf(await t.context.run(['--doctor'], {environment}), 'scheduler'), [`-- ${seen}`]);
  });
}

/** @returns the path of a directory as it leaks into a job */
const LEAKS: ReadonlyArray<[what: string, make: (base: string) => string, verdict: string | undefined]> = [
  ['is missing', base => join(base, 'missing'), 'does not exist'],
  ['is a file', base => made(join(base, 'file'), path => writeFileSync(path, '')), 'is not a directory'],
  ['is open to others', base => made(join(base, 'open'), path => mkdirSync(path, {mode: 0o750})), 'is open to others'],
  ['is private', base => made(join(base, 'private'), path => mkdirSync(path, {mode: 0o700})), undefined],
  ['is a link to a private one', base => made(join(base, 'link'), path => {
    mkdirSync(`${path}ed`, {mode: 0o700});
    symlinkSync(`${path}ed`, path);
  }), undefined],
];

function made(path: string, make: (path: string) => void): string {
  make(path);
  return path;
}

for (const [what, make, verdict] of LEAKS) {
  test(`an XDG_RUNTIME_DIR that ${what} is ${verdict === undefined ? 'no leak' : 'a leak'}`, async t => {
    const path = make(t.context.base);
    const result = await t.context.run(['--doctor'], {environment: {XDG_RUNTIME_DIR: path}});
    t.deepEqual(linesOf(result, 'leaked'), verdict === undefined ? [] : [`-- XDG_RUNTIME_DIR=${path}, which ${verdict}; a run sets its own`]);
    t.is(lastLine(result), 'All is well.');
    t.is(result.code, 0);
  });
}

needsRoot("an XDG_RUNTIME_DIR that is another user's is a leak", async t => {
  const path = join(t.context.base, 'others');
  mkdirSync(path, {mode: 0o700});
  chownSync(path, Number(NOBODY), Number(NOBODY));
  const result = await t.context.run(['--doctor'], {environment: {XDG_RUNTIME_DIR: path}});
  t.deepEqual(linesOf(result, 'leaked'), [`-- XDG_RUNTIME_DIR=${path}, which belongs to another user; a run sets its own`]);
});

test('variables that tell of another bus are leaks', async t => {
  const environment = {DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/user/1000/bus', DBUS_SESSION_BUS_PID: '1', DBUS_STARTER_BUS_TYPE: 'session'};
  const result = await t.context.run(['--doctor'], {environment});
  t.deepEqual(linesOf(result, 'leaked'), ['-- DBUS_SESSION_BUS_ADDRESS, DBUS_SESSION_BUS_PID, DBUS_STARTER_BUS_TYPE; a run sets or removes them']);
});

needsRoot('sessions are counted, live and dead', async t => {
  const node = await startNode(t);
  const start = async (marked: boolean): Promise<ReturnType<OwnNode['start']>> => {
    const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null'], {environment: marked ? {JOBBUS_TEST_DOOMED: t.context.mark} : {}});
    await run.line(/^ready$/);
    return run;
  };
  const live = [await start(false), await start(false)];
  const doomed = await start(true);
  await killEverything(`JOBBUS_TEST_DOOMED=${t.context.mark}`);
  await doomed.result;
  const result = await node.run(['--doctor']);
  t.deepEqual(linesOf(result, 'sessions'), ['-- 2 live, 1 dead; the next run or jobbus-run --sweep removes those']);
  t.is(result.code, 0);
  for (const run of live) {
    process.kill(run.pid, 'SIGTERM');
    await run.result;
  }
});

test('there is colour on a terminal, and none with NO_COLOR', async t => {
  const environment = {JOBBUS_DBUS_DAEMON: '/nowhere/dbus-daemon'};
  const inTerminal = async (more: Record<string, string>): Promise<string> =>
    (await t.context.run([binary, '--doctor'], {program: fixture('in-terminal'), environment: {...environment, ...more}, stdio: ['inherit', 'pipe', 'pipe']})).stdout;
  const coloured = await inTerminal({});
  t.true(coloured.includes(`\u001B[32mok\u001B[0m jobbus-run `));
  t.true(coloured.includes('\u001B[31m!!\u001B[0m dbus-daemon '));
  t.true(coloured.includes('\u001B[2m--\u001B[0m scheduler '));
  const plain = await inTerminal({NO_COLOR: '1'});
  t.true(plain.includes('\nok base '));
  t.false(plain.includes('\u001B'));
});

test('in a directory that is gone, it works', async t => {
  const gone = join(t.context.base, 'gone');
  mkdirSync(gone);
  const result = await t.context.run(['-c', 'rmdir "$1"; exec "$0" --doctor', binary, gone], {program: '/bin/sh', cwd: gone});
  t.is(lastLine(result), 'All is well.', result.stdout);
});

for (const [way, words, environment] of [['--verbose', ['--doctor', '--verbose'], {}], ['JOBBUS_VERBOSE', ['--doctor'], {JOBBUS_VERBOSE: 'yes'}]] as const) {
  test(`with ${way}, the steps of its trial are shown, on stderr alone`, async t => {
    const {code, stdout, stderr} = await t.context.run(words, {environment});
    t.regex(stderr, /^(jobbus-run: .*\n)*jobbus-run: trial run: started \/bin\/sh as process \d+\n(jobbus-run: .*\n)*$/);
    t.is(lastLine({stdout} as Result), 'All is well.');
    t.false(stdout.includes('jobbus-run: '));
    t.is(code, 0);
  });
}

test('with --verbose, why its trial failed is one line nevertheless', async t => {
  const result = await t.context.run(['-v', '--dbus-daemon', '/bin/false', '--doctor']);
  t.regex(linesOf(result, 'trial run').join('\n'), /^!! failed with status 125: starting \/bin\/false failed: /);
  t.is(lastLine(result), 'To do: name another with --dbus-daemon.');
  t.is(result.code, 1);
});
