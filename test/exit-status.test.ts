import {execFileSync} from 'node:child_process';
import {chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {binary, fixture, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';

useBench();

/** Few enough at once for two cores. */
const BATCH = 8;

async function inBatches<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += BATCH) {
    await Promise.all(items.slice(start, start + BATCH).map(work));
  }
}

test.serial('every exit status of the command is returned', async t => {
  const statuses: Array<number | null> = Array.from({length: 256}, () => null);
  await inBatches([...statuses.keys()], async status => {
    const {code, stdout, stderr} = await t.context.run(['--', 'sh', '-c', `exit ${status}`]);
    statuses[status] = code;
    t.is(stdout + stderr, '');
  });
  t.deepEqual(statuses, [...statuses.keys()]);
});

/** By default they end nothing. */
const HARMLESS = ['SIGCHLD', 'SIGCONT', 'SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGURG', 'SIGWINCH'];

test.serial('a command that dies of signal n gives 128+n', async t => {
  const numbers = new Set(Object.entries(constants.signals).filter(([name]) => !HARMLESS.includes(name)).map(([, number]) => number));
  t.is(numbers.size, 23);
  await inBatches([...numbers], async number => {
    const {code, signal, stderr} = await t.context.run(['--', fixture('dies-of-signal'), String(number)]);
    t.is(stderr, '');
    t.deepEqual({number, code, signal}, {number, code: 128 + number, signal: null});
  });
});

/** A folder with what looks like a command and is none. */
function impostors(bench: Bench): string {
  const folder = join(bench.base, 'impostors');
  mkdirSync(join(folder, 'a-directory'), {recursive: true});
  writeFileSync(join(folder, 'not-executable'), '#!/bin/sh\n', {mode: 0o644});
  writeFileSync(join(folder, 'no-interpreter'), '#!/nowhere/interpreter\n');
  writeFileSync(join(folder, 'no-program'), 'exit 3\n');
  chmodSync(join(folder, 'no-interpreter'), 0o755);
  chmodSync(join(folder, 'no-program'), 0o755);
  symlinkSync('loop', join(folder, 'loop'));
  execFileSync('mkfifo', ['-m', '755', join(folder, 'fifo')]);
  return folder;
}

const LONG = 'x'.repeat(300);

/** The statuses are those of env(1). */
const unusable: ReadonlyArray<[what: string, command: string, code: number, message: RegExp]> = [
  ['missing, by PATH', 'no-such-command', 127, /"no-such-command" failed: command not found/],
  ['missing, by path', '/nowhere/no-such-command', 127, /"\/nowhere\/no-such-command" failed: command not found/],
  ['an empty word', '', 127, /"" failed: command not found/],
  ['a directory, by PATH', 'a-directory', 126, /"a-directory" failed: it is a directory/],
  ['the working directory', '.', 126, /"\." failed: it is a directory/],
  ['a loop of links, by PATH', 'loop', 126, /"loop" failed: too many symbolic links/],
  ['a loop of links, by path', './loop', 126, /"\.\/loop" failed: too many symbolic links/],
  ['too long, by PATH', LONG, 126, /failed: the name is too long/],
  ['too long, by path', `./${LONG}`, 126, /failed: the name is too long/],
  ['a directory, by path', './a-directory', 126, /"\.\/a-directory" failed: it is a directory/],
  ['not executable, by PATH', 'not-executable', 126, /"not-executable" failed: permission denied/],
  ['not executable, by path', './not-executable', 126, /"\.\/not-executable" failed: permission denied/],
  ['a FIFO, which has no writer', './fifo', 126, /"\.\/fifo" failed: permission denied/],
  ['below a file', './not-executable/command', 126, /"\.\/not-executable\/command" failed: not a directory/],
];

for (const [what, command, expected, message] of unusable) {
  test(`a command that is ${what} gives ${expected}`, async t => {
    const folder = impostors(t.context);
    // Where one may not look, env says 126.
    const where = {cwd: folder, environment: {PATH: `/usr/bin:/bin:${folder}`}};
    const {code, stdout, stderr} = await t.context.run(['--', command], where);
    t.is(code, expected);
    t.is((await t.context.run([command], {program: '/usr/bin/env', ...where})).code, expected);
    t.is(stdout, '');
    t.regex(stderr, message);
    t.regex(stderr, /^jobbus-run: .*\n$/, 'one line');
  });
}

for (const [what, command, expected] of [['with a missing interpreter', './no-interpreter', 127], ['of shell lines without #!', './no-program', 3]] as const) {
  test(`a command ${what} ends as under env(1)`, async t => {
    const cwd = impostors(t.context);
    const bare = await t.context.run([command], {program: '/usr/bin/env', cwd});
    const wrapped = await t.context.run(['--', command], {cwd});
    t.is(bare.code, expected);
    t.is(wrapped.code, expected);
  });
}

const startless: ReadonlyArray<[what: string, content: string | Buffer, code: number, message: RegExp]> = [
  ['a script with Windows line ends', '#!/bin/sh\r\nexit 0\r\n', 127, /its interpreter "\/bin\/sh\\r" does not exist: the file has Windows line ends; /],
  ['a script without its interpreter', '#! /nowhere/interpreter -x\n', 127, /its interpreter "\/nowhere\/interpreter" does not exist; /],
  ['a script whose interpreter is a directory', '#!/tmp\n', 126, /its interpreter "\/tmp": permission denied; /],
  ['a program of another machine', readForeign(), 126, /it is made for another machine; /],
  ['a program without its loader', withoutLoader(), 127, /the loader that it names does not exist: it is made for another system; /],
  ['a script with a long name of an interpreter', `#!/${'x'.repeat(240)}`, 127, /its interpreter "\/x{240}" does not exist; /],
  ['a NUL in the first line', 'echo\0\n', 126, /it is neither a program nor a script; /],
  ['binary bytes without a NUL', Buffer.from('(\xf3\x8a\x01)\n\x90;;\x02\n', 'latin1'), 126, /it is neither a program nor a script; /],
];

for (const [what, content, expected, message] of startless) {
  test(`${what} gives ${expected}, and one line that says so`, async t => {
    const file = join(t.context.base, 'file');
    writeFileSync(file, content, {mode: 0o755});
    const {code, stdout, stderr} = await t.context.run(['--', './file'], {cwd: t.context.base});
    t.deepEqual({code, stdout}, {code: expected, stdout: ''});
    t.regex(stderr, /^jobbus-run: running "\.\/file" failed: .*\n$/);
    t.regex(stderr, message);
  });
}

/** In front of a program: root, too, is to read only what its mode says. */
const AS_MODES_SAY = process.getuid!() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : ['env'];

test('what no kernel executes, and may not be read, is said to be that', async t => {
  const file = join(t.context.base, 'file');
  writeFileSync(file, 'exit 3\n');
  chmodSync(file, 0o111);
  const [program = '', ...words] = AS_MODES_SAY;
  const {code, stdout, stderr} = await t.context.run([...words, binary, '--', file], {program});
  t.deepEqual({code, stdout}, {code: 126, stdout: ''});
  t.is(stderr, `jobbus-run: running "${file}" failed: it is no program for this machine, and it may not be read, as a script must be; make it readable\n`);
});

/** `true` with the number of a machine that there is not. */
function readForeign(): Buffer {
  const program = readFileSync('/bin/true');
  program.writeUInt16LE(0x1234, 18);
  return program;
}

function withoutLoader(): Buffer {
  const program = readFileSync('/bin/true');
  program.write('/nowhere', program.indexOf('/lib'));
  return program;
}

test('a script that names no interpreter is run by sh in whatever encoding, and with whatever it brings along', async t => {
  const file = join(t.context.base, 'file');
  writeFileSync(file, '', {mode: 0o755});
  t.is((await t.context.run(['--', './file'], {cwd: t.context.base})).code, 0);
  for (const content of [Buffer.from('# caf\xe9 \x1b[1m\nexit 9', 'latin1'), '# café\nexit 9\n', 'exit 9\n\0\x01\x02', '\n\nexit 9\n']) {
    writeFileSync(file, content, {mode: 0o755});
    t.is((await t.context.run(['--', './file'], {cwd: t.context.base})).code, 9, JSON.stringify(String(content)));
  }
});

test('a command whose name, or the place of PATH in which it is, is not UTF-8 runs as any', async t => {
  const place = Buffer.concat([Buffer.from(t.context.base), Buffer.from('/\xff', 'latin1')]);
  mkdirSync(place);
  writeFileSync(Buffer.concat([place, Buffer.from('/\xfe', 'latin1')]), '#!/bin/sh\nexit 7\n', {mode: 0o755});
  writeFileSync(Buffer.concat([place, Buffer.from('/text')]), 'exit 8\n', {mode: 0o755});
  const prepare = 'place=$(printf "%s/\\377" "$0")';
  const run = async (script: string): Promise<number | null> => (await t.context.run(['-c', `${prepare}; ${script}`, t.context.base], {program: '/bin/sh', environment: {JOBBUS_RUN: binary}})).code;
  t.is(await run('exec "$JOBBUS_RUN" -- "$place/$(printf "\\376")"'), 7);
  t.is(await run('PATH=$place:$PATH; exec "$JOBBUS_RUN" -- "$(printf "\\376")"'), 7);
  t.is(await run('cd "$place"; exec "$JOBBUS_RUN" -- ./text'), 8);
});

test('a command that the search of PATH passes over for a usable one is the usable one', async t => {
  const folder = impostors(t.context);
  const usable = join(t.context.base, 'usable');
  mkdirSync(usable);
  for (const name of ['a-directory', 'not-executable']) {
    writeFileSync(join(usable, name), '#!/bin/sh\nexit 7\n', {mode: 0o755});
    const {code} = await t.context.run(['--', name], {environment: {PATH: `${folder}:${usable}:${process.env.PATH!}`}});
    t.is(code, 7);
  }
});

test('a directory of PATH that may not be looked into makes no missing command an unusable one', async t => {
  const closed = join(t.context.base, 'closed');
  mkdirSync(closed, 0o000);
  const {code} = await t.context.run(['--', 'no-such-command'], {environment: {PATH: `${closed}:${process.env.PATH!}`}});
  t.is(code, 127);
});

test('what fails before the command gives 125', async t => {
  const {code, stdout, stderr} = await t.context.run(['--runtime-base', '/nowhere', '--', 'echo', 'started']);
  t.is(code, 125);
  t.is(stdout, '');
  t.regex(stderr, /^jobbus-run: .*\n$/);
});

needsRoot('a script without an interpreter runs, also where the kernel hides the gate, whose file nobody may read', async t => {
  const install = installFor(t.context);
  chmodSync(install, 0o711);
  writeFileSync(join(t.context.base, 'text'), 'exit 8\n', {mode: 0o755});
  t.like(await t.context.run([...asNobody(install), '--', './text'], {program: 'setpriv', cwd: t.context.base, environment: {JOBBUS_RUNTIME_BASE: '/tmp'}}), {code: 8, stderr: ''});
});
