/** The command's descriptors are the command's alone; and what the launcher is said to have recorded is not believed blindly. */

import {spawn, type ChildProcess} from 'node:child_process';
import {chmodSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Duplex} from 'node:stream';
import type {ExecutionContext} from 'ava';
import {binary, project, test, useBench, type Bench} from './helpers/jobbus.js';
import {descriptorsOf, eventually, isRunning, processesWith} from './helpers/processes.js';

useBench();

const bundle = join(project, 'dist/jobbus-run.cjs');

interface Piped {
  readonly child: ChildProcess;
  /** What has come out at each descriptor so far. */
  readonly output: Record<number, string>;
  /** Of each descriptor, when its reader sees the end of the file. */
  readonly ended: Record<number, Promise<void>>;
}

/** Starts sh with a pipe of its own at 0 to 2 and at each descriptor. */
function startPiped(t: ExecutionContext<Bench>, wrapped: boolean, script: string, descriptors: readonly number[] = []): Piped {
  const stdio = Array.from({length: Math.max(3, ...descriptors.map(number => number + 1))}, (_, number) => number < 3 || descriptors.includes(number) ? 'pipe' as const : 'ignore' as const);
  const words = [...(wrapped ? [binary, '--'] : []), 'bash', '-c', script];
  const child = spawn(words[0]!, words.slice(1), {env: t.context.environment, stdio});
  const output: Record<number, string> = {};
  const ended: Record<number, Promise<void>> = {};
  for (const number of [1, 2, ...descriptors]) {
    const stream = streamAt(child, number);
    output[number] = '';
    stream.on('data', (chunk: Buffer) => (output[number] = (output[number] ?? '') + chunk.toString()));
    ended[number] = new Promise(resolve => stream.once('end', resolve));
  }

  child.stdin!.on('error', () => {});
  return {child, output, ended};
}

/** The types of Node know of five. */
function streamAt(child: ChildProcess, descriptor: number): Duplex {
  return (child.stdio as readonly unknown[])[descriptor] as Duplex;
}

async function finished(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise(resolve => child.once('exit', resolve));
  }
}

const INHERITED = [...Array.from({length: 18}, (_, index) => index + 3), 63, 200];

test('nobody but the command holds what the caller has handed down', async t => {
  const {child, output} = startPiped(t, true, 'echo ready; read -r line; exit 3', INHERITED);
  await eventually('the command to run', () => output[1] === 'ready\n');
  const command = processesWith(t.context.mark).find(({words}) => words.includes('echo ready; read -r line; exit 3') && words[0] === 'bash')!;
  const theirs = descriptorsOf(command.pid);
  const targets = new Set([0, 1, ...INHERITED].map(number => theirs.get(number)!));
  t.is(targets.size, INHERITED.length + 2);
  t.false(targets.has('/dev/null'));
  const holders = (): string[] => processesWith(t.context.mark).filter(({pid}) => pid !== command.pid)
    .filter(({pid}) => [...descriptorsOf(pid).values()].some(target => targets.has(target))).map(({pid, words}) => `${pid} ${words.join(' ')}`);
  // The witness has been told to go, and goes when it gets to run.
  await eventually('the witness to go', () => holders().length === 0, 5000).catch(() => undefined);
  t.deepEqual(holders(), []);
  t.true(processesWith(t.context.mark).some(({words}) => words[0]?.endsWith('dbus-daemon') === true), 'the daemon has been looked at');
  child.stdin!.end('go\n');
  await finished(child);
  t.is(child.exitCode, 3);
});

for (const wrapped of [false, true]) {
  const how = wrapped ? 'under jobbus-run' : 'bare';

  test(`what the command closes is closed for its readers, ${how}`, async t => {
    const {child, output, ended} = startPiped(t, wrapped, 'echo out; exec >&- 5>&- 63>&-; read -r line; exit 4', [5, 63]);
    await Promise.all([ended[1], ended[5], ended[63]]);
    t.is(child.exitCode, null);
    t.is(output[1], 'out\n');
    child.stdin!.end('go\n');
    await finished(child);
    t.is(child.exitCode, 4);
  });

  test(`what the command reads no more breaks for its writers, ${how}`, async t => {
    const {child, output} = startPiped(t, wrapped, 'exec <&-; echo closed; read -r line <&5; exit 5', [5]);
    await eventually('the command to close its input', () => output[1] === 'closed\n');
    const error = new Promise<NodeJS.ErrnoException>(resolve => child.stdin!.once('error', resolve));
    // The reader may be told a moment later: a writer goes on until it breaks.
    const writer = setInterval(() => child.stdin!.write('x'.repeat(65_536)), 5);
    t.is((await error).code, 'EPIPE');
    clearInterval(writer);
    t.is(child.exitCode, null);
    streamAt(child, 5).write('go\n');
    await finished(child);
    t.is(child.exitCode, 5);
  });
}

test('a descriptor that is closed between the record and its use is skipped', async t => {
  const node = join(t.context.base, 'closing-node');
  writeFileSync(node, `#!/bin/bash\nexec 5>&- 63>&-\nexec ${process.execPath} "$@"\n`);
  chmodSync(node, 0o755);
  const piped = spawn(binary, ['-v', '--', 'sh', '-c', 'echo /proc/self/fd/*; echo there >&6'], {
    env: {...t.context.environment, JOBBUS_NODE: node},
    stdio: ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', 'pipe', 'pipe', ...Array.from({length: 56}, () => 'ignore' as const), 'pipe'],
  });
  let [numbers, six] = ['', ''];
  piped.stdout!.on('data', (chunk: Buffer) => (numbers += chunk.toString()));
  streamAt(piped, 6).on('data', (chunk: Buffer) => (six += chunk.toString()));
  await new Promise(resolve => piped.once('close', resolve));
  t.is(piped.exitCode, 0);
  t.is(six, 'there\n');
  t.notRegex(numbers, /fd\/(5|63)\b/);
  t.regex(numbers, /fd\/6\b/);
});

/** Runs Node on the bundle as the launcher does, with a record of our own. */
async function withRecord(t: ExecutionContext<Bench>, record: string | undefined, words = ['-v', '--', 'echo', 'ran']): Promise<{code: number | null; stdout: string; stderr: string}> {
  return t.context.run([bundle, ...words], {program: process.execPath, environment: {JOBBUS_LAUNCHER: record, JOBBUS_VERBOSE: '1'}});
}

const MASK = '0'.repeat(16);

for (const [what, record] of [
  ['missing', undefined],
  ['empty', ''],
  ['no record', 'x'],
  ['of another format', `2:1:${MASK}:${MASK}:-`],
  ['without a mask', '1:1::0:-'],
  ['with a mask too long', `1:1:${'f'.repeat(400)}:${MASK}:-`],
  ['with more than one line', `1:1:${MASK}:${MASK}:-\n`],
  ['with a wrong descriptor', `1:1:${MASK}:${MASK}:7`],
  ['with the pid 0', `1:0:${MASK}:${MASK}:-`],
  ['with a pid beyond all', `1:99999999999999999999:${MASK}:${MASK}:-`],
  ['with the pid of nobody', `1:4194304:${MASK}:${MASK}:-`],
  ['with the pid of init', `1:1:${MASK}:${MASK}:-`],
] as const) {
  test(`a record that is ${what} is ignored, and said so`, async t => {
    const {code, stdout, stderr} = await withRecord(t, record);
    t.is(code, 0, stderr);
    t.is(stdout, 'ran\n');
    t.regex(stderr, /^jobbus-run: reading what the launcher recorded failed: .*; the command gets what Node has left of descriptors, limits and signals$/m);
  });
}

test('a process that the record names, and that is no witness of ours, is never signalled', async t => {
  const script = 'trap "echo signalled" TERM HUP USR1 USR2; echo ready; while :; do read -r line || exit 0; done';
  // In our group and session, started before; in our group, with the name of the launcher; in a session of its own.
  const bystanders = [[false, 'x'], [false, 'jobbus-run'], [true, 'jobbus-run']].map(([detached, name]) => {
    const child = spawn('/bin/bash', ['-c', script, name as string], {env: t.context.environment, stdio: ['pipe', 'pipe', 'ignore'], detached: detached as boolean});
    const seen = {text: ''};
    child.stdout.on('data', (chunk: Buffer) => (seen.text += chunk.toString()));
    return {child, seen};
  });
  for (const {child, seen} of bystanders) {
    await eventually('the bystander', () => seen.text === 'ready\n');
    const {code, stderr} = await withRecord(t, `1:${child.pid}:${MASK}:${MASK}:-`);
    t.is(code, 0);
    t.regex(stderr, /its witness is not there/);
  }

  for (const {child, seen} of bystanders) {
    t.true(isRunning(child.pid!));
    child.stdin.end();
    await finished(child);
    t.is(child.exitCode, 0);
    t.is(seen.text, 'ready\n');
  }
});

test('no witness outlives its run, or jobbus-run that fails', async t => {
  for (const words of [['--', 'true'], ['--nonsense'], ['--', '/nonexistent'], ['--help']]) {
    await t.context.run(words);
    await eventually('the witness to go', () => processesWith(t.context.mark).length === 0, 5000);
  }

  t.deepEqual(processesWith(t.context.mark), []);
});

