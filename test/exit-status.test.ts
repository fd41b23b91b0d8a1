import {chmodSync, mkdirSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {fixture, test, useBench, type Bench} from './helpers/jobbus.js';

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
  return folder;
}

const unusable: ReadonlyArray<[what: string, command: string, code: number, message: RegExp]> = [
  ['missing, by PATH', 'no-such-command', 127, /"no-such-command" failed: command not found/],
  ['missing, by path', '/nowhere/no-such-command', 127, /"\/nowhere\/no-such-command" failed: command not found/],
  ['an empty word', '', 127, /"" failed: command not found/],
  ['a directory, by PATH', 'a-directory', 127, /"a-directory" failed: command not found/],
  ['a directory, by path', './a-directory', 126, /"\.\/a-directory" failed: it is a directory/],
  ['not executable, by PATH', 'not-executable', 126, /"not-executable" failed: permission denied/],
  ['not executable, by path', './not-executable', 126, /"\.\/not-executable" failed: permission denied/],
  ['below a file', './not-executable/command', 127, /command not found/],
];

for (const [what, command, expected, message] of unusable) {
  test(`a command that is ${what} gives ${expected}`, async t => {
    const folder = impostors(t.context);
    const {code, stdout, stderr} = await t.context.run(['--', command], {cwd: folder, environment: {PATH: `${process.env.PATH!}:${folder}`}});
    t.is(code, expected);
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
