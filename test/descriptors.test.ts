/** The command's descriptors are the command's alone. */

import {spawn, type ChildProcess} from 'node:child_process';
import type {Duplex} from 'node:stream';
import type {ExecutionContext} from 'ava';
import {binary, test, useBench, type Bench} from './helpers/jobbus.js';
import {descriptorsOf, eventually, processesWith} from './helpers/processes.js';

useBench();

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

test('no helper outlives its run, or jobbus-run that fails', async t => {
  for (const words of [['--', 'true'], ['--nonsense'], ['--', '/nonexistent'], ['--help']]) {
    await t.context.run(words);
    t.deepEqual(processesWith(t.context.mark), []);
  }
});
