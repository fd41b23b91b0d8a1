import {chmodSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {engine, engineWords} from './helpers/engine.js';
import {binary, fixture, inMountNamespace, LEFT_RUNNING, needsRoot, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {kill} from './helpers/sessions.js';

useBench();

/** Where a command ends well and leaves something, that is said. */
function assertSurprise(t: ExecutionContext<Bench>, {code, stderr}: Result): void {
  t.is(code, 0);
  t.regex(stderr, LEFT_RUNNING);
}

/** Makes a service known to the session's bus. @returns the environment that does */
function withService(bench: Bench, name: string, words: string): Record<string, string> {
  const services = join(bench.base, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  writeFileSync(join(services, `${name}.service`), `[D-BUS Service]\nName=${name}\nExec=${words}\n`);
  return {XDG_DATA_DIRS: join(bench.base, 'share')};
}

/** Shell lines that start the service and end with the status 4. */
function activating(name: string): string[] {
  const call = `dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:${name} uint32:0`;
  return ['sh', '-c', `${call} && exit 4`];
}

for (const [what, name, words] of [
  ['', 'org.example.Echo', '/usr/bin/dbus-test-tool echo --name=org.example.Echo'],
  [' that ignores TERM and the end of its bus', 'org.example.Stubborn', fixture('stubborn-service')],
] as const) {
  test(`an activated service${what} is gone at the end`, async t => {
    const environment = withService(t.context, name, words);
    const {code, stdout, stderr} = await t.context.run(['--', ...activating(name)], {environment});
    t.is(stderr, '');
    t.is(code, 4);
    t.regex(stdout, /uint32 1/);
  });
}

for (const [what, service, options] of [
  ['has emptied its environment', 'bare-service', []],
  ['has gone into the background, with --bus-only,', 'daemonising-service', ['--bus-only']],
] as const) {
  test(`an activated service that ${what} is gone at the end`, async t => {
    const file = join(t.context.base, 'pid');
    const environment = withService(t.context, 'org.example.Service', `${fixture(service)} ${file}`);
    const call = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Service uint32:0';
    const {code, stderr} = await t.context.run([...options, '--', 'sh', '-c', `${call} && exec ${fixture('waits-for-file')} ${file} 4`], {environment});
    t.is(stderr, '');
    t.is(code, 4);
    t.false(isRunning(Number(readFileSync(file, 'utf8'))));
  });
}

test('what is in the midst of execve at every look is gone at the end', async t => {
  for (let round = 0; round < 10; round++) {
    t.like(await t.context.run(['--', fixture('leaves-executing'), '9']), {code: 9, stderr: ''});
    await t.context.assertNothingLeft();
  }
});

for (const [leaver, status] of [['leaves-orphan', 6], ['leaves-stopped', 7], ['leaves-forker', 8], ['leaves-thread', 9]] as const) {
  test(`${leaver}: all is gone at the end, and the status is the command's`, async t => {
    const {code, stderr} = await t.context.run(['--stop-timeout', '0.3', '--', fixture(leaver), String(status)]);
    t.is(stderr, '');
    t.is(code, status);
    await t.context.assertNothingLeft();
  });
}

test('what is left gets --stop-timeout to end by itself', async t => {
  const [asked, go, saved] = ['asked', 'go', 'saved'].map(name => join(t.context.base, name)) as [string, string, string];
  const run = t.context.start(['--stop-timeout', '60', '--', fixture('leaves-saver'), asked, go, saved]);
  await eventually('the process to be asked', () => existsSync(asked));
  writeFileSync(go, '');
  assertSurprise(t, await run.result);
  t.true(existsSync(saved));
});

test('what bears no mark, and is known by a parent that ends first, is ended too', async t => {
  const note = join(t.context.base, 'pid');
  assertSurprise(t, await t.context.run(['--stop-timeout', '0.5', '--', fixture('leaves-unmarked'), note]));
  t.false(isRunning(Number(readFileSync(note, 'utf8'))));
});

test('after --stop-timeout it is killed', async t => {
  const [asked, go, saved] = ['asked', 'go', 'saved'].map(name => join(t.context.base, name)) as [string, string, string];
  assertSurprise(t, await t.context.run(['--stop-timeout', '0.5', '--', fixture('leaves-saver'), asked, go, saved]));
  t.true(existsSync(asked));
  t.false(existsSync(saved));
});

test('--keep keeps the directory and nothing else', async t => {
  const {code, stderr} = await t.context.run(['--keep', '--', 'sh', '-c', 'echo kept >"$XDG_RUNTIME_DIR/file"; exit 9']);
  const [directory = ''] = t.context.sessions();
  t.is(code, 9);
  t.is(stderr, `jobbus-run: kept ${directory}\n`);
  t.is(readFileSync(join(directory, 'file'), 'utf8'), 'kept\n');
  rmSync(directory, {recursive: true});
});

/** A directory of the user's with one file. */
function outsideOf(bench: Bench): string {
  const outside = join(bench.base, 'outside');
  mkdirSync(outside);
  chmodSync(outside, 0o750);
  writeFileSync(join(outside, 'file'), 'precious');
  chmodSync(join(outside, 'file'), 0o640);
  linkSync(join(outside, 'file'), join(outside, 'second-name'));
  return outside;
}

function stateOf(outside: string): unknown {
  return [outside, join(outside, 'file'), join(outside, 'second-name')].map(path => {
    const {mode, uid, ino} = statSync(path);
    return {mode, uid, ino, text: path === outside ? undefined : readFileSync(path, 'utf8')};
  });
}

test('a directory full of links, closed directories and strange names goes, and nothing outside changes', async t => {
  const outside = outsideOf(t.context);
  const before = stateOf(outside);
  t.like(await t.context.run(['--', fixture('fills-directory'), outside]), {code: 0, stderr: ''});
  t.deepEqual(t.context.sessions(), []);
  t.deepEqual(stateOf(outside), before);
});

test('a link put in the place of the directory is not followed', async t => {
  const outside = outsideOf(t.context);
  const before = stateOf(outside);
  const moved = join(t.context.base, 'moved');
  const {code} = await t.context.run(['--', 'sh', '-c', `mv "$XDG_RUNTIME_DIR" ${moved}; ln -s ${outside} "$XDG_RUNTIME_DIR"; exit 2`]);
  t.is(code, 2);
  t.deepEqual(stateOf(outside), before);
});

test('directories that are exchanged for links again and again while they are removed lead nowhere outside', async t => {
  const outside = outsideOf(t.context);
  const before = stateOf(outside);
  for (let round = 0; round < 5; round++) {
    const {code, stdout} = await t.context.run(['--', 'sh', '-c', `exchanger=$(${fixture('exchanges')} "$0"); echo "$exchanger"; exit 4`, outside]);
    kill(Number(stdout));
    await eventually('the exchanger to go', () => !isRunning(Number(stdout)));
    t.is(code, 4);
    t.deepEqual(stateOf(outside), before);
  }

  rmSync(join(t.context.base, `jobbus-${process.getuid!()}`), {recursive: true});
});

test('a signal goes to no process but the one that was noted, for all that it has the pid', async t => {
  const {pid, result} = t.context.start(['1000'], {program: 'sleep'});
  const lines = 'signal({pid: Number(process.argv[1]), startTime: process.argv[2]}, 9);';
  const signals = async (startTime: string): Promise<Result> => t.context.run(engineWords({'session/members/members': 'signal'}, lines, String(pid), startTime), {program: engine});
  const startTime = readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[21]!;
  t.like(await signals(String(Number(startTime) - 1)), {code: 0, stderr: ''});
  t.true(isRunning(pid));
  t.like(await signals(startTime), {code: 0, stderr: ''});
  t.is((await result).signal, 'SIGKILL');
});

for (const [what, mount] of [
  ['a tmpfs', 'mount -t tmpfs none "$at"; echo x >"$at/file"'],
  ['a bind mount of the same file system', 'mount --bind "$1" "$at"'],
  ['a read-only bind mount', 'mount --bind "$1" "$at"; mount -o remount,bind,ro "$at"'],
  ['a bind mount below a bind mount', 'mount --bind "$1" "$at"; mount --bind "$1" "$XDG_RUNTIME_DIR"'],
  ['a bind mount of a file', ': >"$at/file"; mount --bind "$1/file" "$at/file"'],
] as const) {
  needsRoot(`${what} in the directory is detached, and its source stays`, async t => {
    const outside = outsideOf(t.context);
    const before = stateOf(outside);
    const {program, words} = inMountNamespace(':');
    const {code, stderr} = await t.context.run([...words, '--', 'sh', '-c', `at="$XDG_RUNTIME_DIR/a b"; mkdir "$at"; ${mount}; exit 3`, 'sh', outside], {program});
    t.is(stderr, '');
    t.is(code, 3);
    t.deepEqual(t.context.sessions(), []);
    t.deepEqual(stateOf(outside), before);
  });

  needsRoot(`${what} that cannot be detached stays with a warning, and so does its source`, async t => {
    const outside = outsideOf(t.context);
    const before = stateOf(outside);
    const {program, words} = inMountNamespace(':');
    // Without umount on PATH.
    const environment = {PATH: '/nowhere'};
    const script = `PATH=/usr/bin:/bin; at="$XDG_RUNTIME_DIR/a b"; mkdir "$at"; ${mount}; exit 3`;
    const {code, stderr} = await t.context.run([...words, '--', '/bin/sh', '-c', script, 'sh', outside], {program, environment});
    t.is(code, 3);
    t.regex(stderr, /^(jobbus-run: removing .* failed: .*; remove it by hand\n)+$/);
    t.deepEqual(stateOf(outside), before);
    // The mount has gone with its namespace.
    for (const directory of t.context.sessions()) {
      rmSync(dirname(directory), {recursive: true});
    }
  });
}

for (const [what, environment] of [['another job', {SLURM_JOB_ID: '1'}], ['a job, where the session has none', {}]] as const) {
  test(`a process of ${what} is not the session's, for all the variables it carries`, async t => {
    const run = t.context.start(['--', fixture('leaves-job'), '2'], {environment});
    const pid = Number((await run.line(/^job \d+$/)).split(' ')[1]);
    const {code, stderr} = await run.result;
    t.is(stderr, '');
    t.is(code, 5);
    t.true(isRunning(pid));
    process.kill(pid, 'SIGKILL');
  });
}

for (const [what, environment] of [['helpers', {JOBBUS_HELPER: '1'}], ['launchers', {JOBBUS_LAUNCHER: '1:1:0000000000000000:0000000000000000:-'}]] as const) {
  test(`what a caller's variable says of ${what} exempts nothing`, async t => {
    // The inner one bears nothing of the session's; it belongs by its parent.
    const leaves = 'setsid sh -c \'env -i "JOBBUS_TEST_MARK=$JOBBUS_TEST_MARK" tail -f /dev/null & echo >"$1"; wait\' sh "$1" </dev/null >/dev/null 2>&1 &';
    const words = ['sh', '-c', `${leaves} until [ -e "$1" ]; do sleep 0.02; done; exit 6`, 'sh', join(t.context.base, 'left')];
    t.like(await t.context.run(['--', ...words], {environment}), {code: 6, stdout: '', stderr: ''});
    await t.context.assertNothingLeft();
  });
}

for (const options of ['', '--bus-only']) {
  test(`an inner jobbus-run ${options} that is left is asked to end, and what its command saves at the end finds its bus`, async t => {
    const file = join(t.context.base, 'saved');
    const inner = `setsid ${binary} --stop-timeout 30 ${options} -- ${fixture('asks-bus-at-term')} </dev/null >${file} 2>&1 &`;
    t.like(await t.context.run(['--stop-timeout', '30', '--', 'sh', '-c', `${inner} until [ -s ${file} ]; do sleep 0.02; done; exit 6`]), {code: 6, stderr: ''});
    t.regex(readFileSync(file, 'utf8'), /^ready\n\s*[0-9a-f]{32}\s*$/);
  });
}

test('what has forgotten its job counts with its parent also where the session has none', async t => {
  const leaves = `SLURM_JOB_ID=8 setsid sh -c 'env -u SLURM_JOB_ID setsid tail -f /dev/null & echo theirs $!; wait' 2>/dev/null &`;
  const run = t.context.start(['--', 'sh', '-c', `${leaves} exec ${fixture('waits-for-file')} ${join(t.context.base, 'go')} 0`]);
  const theirs = Number((await run.line(/^theirs \d+$/)).split(' ')[1]);
  await eventually('it to wait', () => viewProcess(theirs)?.words[0] === 'tail');
  writeFileSync(join(t.context.base, 'go'), '');
  await eventually('jobbus-run to end', () => !isRunning(run.pid));
  t.true(isRunning(theirs));
  processesWith(t.context.mark).forEach(({pid}) => kill(pid));
  t.like(await run.result, {code: 0, stderr: ''});
});

test('a process that has forgotten its job is the session\'s, and another job\'s that has is not', async t => {
  const forgets = 'env -u SLURM_JOB_ID setsid sh -c \'echo "$0 $$"; exec tail -f /dev/null >/dev/null 2>&1\'';
  const leaves = `${forgets} ours & SLURM_JOB_ID=8 setsid sh -c '"$@" & exec tail -f /dev/null >/dev/null 2>&1' sh ${forgets} theirs &`;
  const run = t.context.start(['--', 'sh', '-c', `${leaves} exec ${fixture('waits-for-file')} ${join(t.context.base, 'go')} 0`], {environment: {SLURM_JOB_ID: '7'}});
  const [ours = 0, theirs = 0] = await Promise.all([/^ours \d+$/, /^theirs \d+$/].map(async said => Number((await run.line(said)).split(' ')[1])));
  writeFileSync(join(t.context.base, 'go'), '');
  assertSurprise(t, await run.result);
  t.deepEqual([isRunning(ours), isRunning(theirs)], [false, true]);
  processesWith(t.context.mark).forEach(({pid}) => kill(pid));
});

test('a process of the same job is the session\'s', async t => {
  const run = t.context.start(['--', fixture('leaves-job'), '2'], {environment: {SLURM_JOB_ID: '2'}});
  const pid = Number((await run.line(/^job \d+$/)).split(' ')[1]);
  t.is((await run.result).code, 5);
  t.false(isRunning(pid));
});

test('a clean-up that fails is a warning, and no other status', async t => {
  const {code, stderr} = await t.context.run(['--', 'sh', '-c', 'chmod 0500 "$XDG_RUNTIME_DIR/.."; exit 3']);
  t.is(code, 3);
  // Root is not held up.
  for (const directory of t.context.sessions()) {
    t.is(stderr, `jobbus-run: removing ${directory} failed: permission denied; remove it by hand\n`);
    chmodSync(dirname(directory), 0o700);
    rmSync(directory, {recursive: true});
  }
});

needsRoot('a command that takes /proc away keeps its status; the rest is a warning, and a sweep\'s', async t => {
  const {code, stdout, stderr} = await t.context.run(['--mount', '--propagation', 'private', binary, '--', 'sh', '-c', 'umount -l /proc && echo gone; exit 7'], {program: 'unshare'});
  t.deepEqual([code, stdout], [7, 'gone\n']);
  t.is(stderr, 'jobbus-run: ending the session failed: no such file or directory; run jobbus-run --sweep where /proc is mounted\n');
  await eventually('the last process to go', () => processesWith(t.context.mark).length === 0);
  await t.context.run(['--sweep']);
});
