/** The oldest systems on which jobbus-run is to run: what its programs need, and a kernel with the system calls of Linux 4.18. */

import {execFileSync, spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {onExit} from 'signal-exit';
import {engine} from './helpers/engine.js';
import {binary, fixture, project, test, useBench} from './helpers/jobbus.js';
import {eventually, isRunning} from './helpers/processes.js';
import {killed, withEchoService} from './helpers/sessions.js';
import {BASH, startShell} from './helpers/shells.js';

useBench();

const built = mkdtempSync(join(tmpdir(), 'jbt-old-'));
onExit(() => rmSync(built, {recursive: true}));

/** Runs its words on a kernel that has no newer system call. */
const withOldKernel = join(built, 'with-old-kernel');
test.before(() => {
  execFileSync('gcc', ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-O1', '-o', withOldKernel, fixture('with-old-kernel.c')], {cwd: project});
});

const PIDFD_OPEN = `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(434, os.getpid(), 0), os.strerror(ctypes.get_errno()))`;

test('an old kernel has no pidfd_open', async t => {
  t.is((await t.context.run(['python3', '-c', PIDFD_OPEN], {program: withOldKernel})).stdout, '-1 Function not implemented\n');
});

test("an old kernel: a command has a bus, and its exit status is jobbus-run's", async t => {
  const words = [binary, '--', 'sh', '-c', 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId && exit 7'];
  const {code, stdout, stderr} = await t.context.run(words, {program: withOldKernel});
  t.deepEqual([code, stderr], [7, '']);
  t.regex(stdout, /^ +[\da-f]{32}$/m);
});

test('an old kernel: TERM is forwarded, once', async t => {
  const run = t.context.start([binary, '--', fixture('waits-for-term')], {program: withOldKernel});
  await run.line(/^ready/);
  process.kill(run.pid, 'SIGTERM');
  const {code, stdout, stderr} = await run.result;
  t.deepEqual([code, stderr], [143, ''], 'as the fixture ends');
  t.is(stdout.match(/ended by TERM/g)?.length, 1);
});

test('an old kernel: kill -9 leaves nothing, be it a process of the command or a service', async t => {
  const run = t.context.start([binary, '--', fixture('leaves-all')], {program: withOldKernel, environment: withEchoService(t.context)});
  await run.line(/^ready$/);
  await killed(run);
  await t.context.assertNothingLeft();
  t.pass();
});

test('an old kernel: a shell has a session, until it stops it, until it ends, and until it is killed', async t => {
  const shell = {...BASH, words: [withOldKernel, ...BASH.words]};
  const stopped = startShell(t.context, shell, `${shell.open()}\ntest -S "$XDG_RUNTIME_DIR/bus" && ${shell.stop}; echo stopped ${shell.status}`);
  t.like(await stopped.result, {code: 0, stdout: 'stopped 0\n', stderr: ''});
  const ended = startShell(t.context, shell, `${shell.open()}\nexit 5`);
  t.like(await ended.result, {code: 5, stdout: '', stderr: ''});
  t.deepEqual(t.context.sessions(), []);
  const killedOne = startShell(t.context, shell, `${shell.open()}\necho ready\nexec tail -f /dev/null`);
  await killedOne.line(/^ready$/);
  await killed(killedOne);
  await eventually('the session to go', () => t.context.sessions().length === 0 && !isRunning(killedOne.pid));
});

/** The glibc of RHEL 7, as a number that can be compared. */
const OLDEST_GLIBC = 2_017;

function inspect(program: string, ...words: readonly string[]): string {
  return execFileSync(program, words, {encoding: 'utf8', env: {...process.env, LC_ALL: 'C'}});
}

test('the supervisor needs no glibc newer than 2.17, and no library but its own', t => {
  const supervisor = join(dirname(binary), '../lib/jobbus-run/supervisor');
  const versions = Array.from(inspect('objdump', '-T', supervisor).matchAll(/\(?GLIBC_(\d+)\.(\d+)/g), ([, major, minor]) => Number(major) * 1000 + Number(minor));
  t.true(versions.length > 100);
  t.true(Math.max(...versions) <= OLDEST_GLIBC, String(Math.max(...versions)));
  const libraries = Array.from(inspect('readelf', '-dW', supervisor).matchAll(/\(NEEDED\).*\[(.*)\]/g), ([, name]) => name!.replace(/[-.].*$/, ''));
  t.deepEqual(libraries.sort(), ['ld', 'libc', 'libdl', 'libm', 'libpthread']);
});

/** The kernel's number of getdents64, with which each session's directory is emptied. */
const LISTING: Readonly<Record<string, number>> = {x64: 217, arm64: 61};

for (const architecture of Object.keys(LISTING)) {
  test(`a supervisor for ${architecture} has the numbers of ${architecture}, whatever machine compiles it`, t => {
    const file = join(t.context.base, 'supervisor');
    execFileSync(engine, ['supervisor.js', file, '0.0.0', engine, architecture], {cwd: project});
    const there = Object.entries(LISTING).filter(([, number]) => spawnSync('grep', ['--quiet', '--text', '--extended-regexp', `=${number}[,;]`, file]).status === 0);
    t.deepEqual(there.map(([name]) => name), [architecture]);
  });
}

test('the frame is static: it needs no library, and no loader', t => {
  t.notRegex(inspect('readelf', '-lW', binary), /INTERP|DYNAMIC/);
  t.regex(inspect('readelf', '-hW', binary), /Type: +EXEC/);
});
