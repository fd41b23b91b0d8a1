/** The frame's gate stands in the command's place, and becomes the command. */

import {execFileSync, type ChildProcess} from 'node:child_process';
import {chmodSync, closeSync, openSync, readFileSync, writeFileSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {ended, frameTest, makePipe, readNow, readShown, recordOf, SETTINGS, startPart, type Frame} from './helpers/frame.js';
import {useBench, type Bench} from './helpers/jobbus.js';
import {eventually, viewProcess} from './helpers/processes.js';

useBench();

interface Gate {
  readonly child: ChildProcess;
  /** @param words how often it is to go on: it waits for a second one where the first execution fails */
  readonly open: (words?: string) => void;
  /** Lets it know that nobody will open it. */
  readonly leave: () => void;
  /** What it reports; nothing, where the command runs. */
  readonly report: () => Promise<string>;
  readonly output: () => string;
}

interface GateOptions {
  readonly settings?: string;
  readonly directory?: string;
  readonly closed?: string;
}

/** Its command's directory is descriptor 5. */
async function startGate(bench: Bench, frame: Frame, command: readonly string[], {settings = SETTINGS, directory = '/usr', closed = '-'}: GateOptions = {}): Promise<Gate> {
  const control = makePipe(bench, 'write');
  const status = makePipe(bench, 'read');
  const words = ['jobbus-gate', settings, '5', closed, '3', '4', ...command];
  const child = startPart(bench, frame, words, ['ignore', 'pipe', 'pipe', control.read, status.write, openSync(directory, 'r')]);
  let output = '';
  [child.stdout!, child.stderr!].forEach(stream => stream.on('data', (chunk: Buffer) => (output += chunk.toString())));
  await eventually('the gate to wait', () => child.exitCode !== null || /^0*fffffffffffbfeff$/.test(/^SigBlk:\s*(\S+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? ''));
  return {
    child,
    open: (words = 'x') => {
      writeSync(control.write, words);
      closeSync(control.write);
    },
    leave: () => closeSync(control.write),
    report: async () => {
      let text = '';
      await eventually('the end of the report', () => {
        const bytes = readNow(status.read);
        text += bytes?.toString() ?? '';
        return bytes?.length === 0;
      });
      closeSync(status.read);
      return text;
    },
    output: () => output,
  };
}

frameTest('the gate becomes the command at the word, in its directory, and nothing of ours is left in it', async (t, frame) => {
  const gate = await startGate(t.context, frame, ['/bin/sh', 'any name', '-c', 'pwd; for d in 3 4 5; do [ ! -e /proc/$$/fd/$d ] || echo "$d"; done; echo "$0 $1 $JOBBUS_TEST_MARK"', 'zero', 'one']);
  t.is(viewProcess(gate.child.pid!)?.words[0], 'jobbus-gate');
  gate.open();
  t.is(await gate.report(), '');
  t.deepEqual(await ended(gate.child), {code: 0, signal: null});
  await eventually('the output', () => gate.output().includes('zero'));
  t.is(gate.output(), `/usr\nzero one ${t.context.mark.split('=')[1]!}\n`);
});

frameTest('the command has the mask, the ignored signals and the soft limits that were handed down', async (t, frame) => {
  const settings = '4000000180004000:8000000380811003:777:4000000000000:-:1000000:4096';
  const gate = await startGate(t.context, frame, ['/bin/cat', 'cat', '/proc/self/status', '/proc/self/limits'], {settings});
  gate.open();
  t.is(await gate.report(), '');
  await ended(gate.child);
  await eventually('the output', () => gate.output().includes('Max realtime timeout'));
  const output = gate.output();
  t.regex(output, /^SigBlk:\s*4000000180004000$/m);
  t.regex(output, /^SigIgn:\s*8000000380811003$/m);
  t.regex(output, /^Max open files +777 /m);
  t.regex(output, /^Max address space +4000000000000 /m);
  t.regex(output, /^Max data size +unlimited /m);
  t.regex(output, /^Max stack size +1000000 /m);
  t.regex(output, /^Max core file size +4096 /m);
});

frameTest('a hard limit that was lowered meanwhile is kept, and the soft one goes as far as it can', async (t, frame) => {
  const gate = await startGate(t.context, frame, ['/bin/cat', 'cat', '/proc/self/limits']);
  execFileSync('prlimit', ['--pid', String(gate.child.pid), '--nofile=100:500']);
  gate.open();
  t.is(await gate.report(), '');
  await ended(gate.child);
  await eventually('the output', () => gate.output().includes('Max open files'));
  t.regex(gate.output(), /^Max open files +500 +500 /m);
});

frameTest('what was closed is closed for the command', async (t, frame) => {
  const gate = await startGate(t.context, frame, ['/bin/sh', 'sh', '-c', '[ ! -e /proc/$$/fd/0 ] && [ -e /proc/$$/fd/1 ] && [ ! -e /proc/$$/fd/2 ]'], {closed: '02'});
  gate.open();
  t.is(await gate.report(), '');
  t.deepEqual(await ended(gate.child), {code: 0, signal: null});
});

frameTest('the gate ends without a word when nobody can open it any more', async (t, frame) => {
  const gate = await startGate(t.context, frame, ['/bin/true', 'true']);
  gate.leave();
  t.deepEqual(await ended(gate.child), {code: 125, signal: null});
  t.is(await gate.report(), '');
  t.is(gate.output(), '');
});

/** What cannot be executed: its content and mode, and how the gate reports it. */
const UNUSABLE: Readonly<Record<string, readonly [Buffer | string, number, string]>> = {
  'no permission': ['echo\n', 0o644, 'exec 13\n'],
  'no interpreter': ['#! /none word\n', 0o755, 'exec 2\n'],
  'for another machine': [Buffer.from('7f454c4602010100', 'hex'), 0o755, 'exec 8\n'],
  'neither program nor script': ['echo\0\n', 0o755, 'exec 8\n'],
};

for (const [title, [content, mode, report]] of Object.entries(UNUSABLE)) {
  frameTest(`a file that cannot be executed is reported, and not on what is the caller's: ${title}`, async (t, frame) => {
    const file = join(t.context.base, 'file');
    writeFileSync(file, content);
    chmodSync(file, mode);
    const gate = await startGate(t.context, frame, [file, 'word']);
    gate.open();
    t.is(await gate.report(), report);
    t.deepEqual(await ended(gate.child), {code: 125, signal: null});
    t.is(gate.output(), '');
  });
}

frameTest('a path that does not lead to a file is reported', async (t, frame) => {
  for (const [path, error] of [['/none', 2], ['/usr', 13], ['/etc/passwd/x', 20], [`/${'x'.repeat(300)}`, 36]] as const) {
    const gate = await startGate(t.context, frame, [path, 'word']);
    gate.open();
    t.is(await gate.report(), `exec ${error}\n`, path);
    t.is((await ended(gate.child)).code, 125);
  }
});

frameTest('a directory that cannot be entered is reported', async (t, frame) => {
  const gate = await startGate(t.context, frame, ['/bin/true', 'true'], {directory: '/etc/passwd'});
  gate.open();
  t.is(await gate.report(), 'chdir 20\n');
  t.is((await ended(gate.child)).code, 125);
});

frameTest('settings that are none are reported', async (t, frame) => {
  const [blocked = '', ignored = '', ...limits] = SETTINGS.split(':');
  const wrong = ['', 'x', `${blocked}:${ignored}`, `${SETTINGS}:`, `${SETTINGS} `, [blocked, ` ${ignored}`, ...limits].join(':'), [blocked, ignored, '-1', ...limits.slice(1)].join(':'), [blocked, ignored, '99999999999999999999999', ...limits.slice(1)].join(':')];
  for (const settings of wrong) {
    const gate = await startGate(t.context, frame, ['/bin/true', 'true'], {settings});
    t.is(await gate.report(), 'settings 22\n', settings);
    t.is((await ended(gate.child)).code, 125);
    gate.leave();
  }
});

frameTest('at a second word sh runs what cannot be executed, with all its words', async (t, frame) => {
  const file = join(t.context.base, 'script');
  writeFileSync(file, 'echo "$0 $1 $#"\n', {mode: 0o755});
  const gate = await startGate(t.context, frame, [file, 'word', 'a b', 'c']);
  gate.open('xx');
  t.is(await gate.report(), 'exec 8\n');
  t.deepEqual(await ended(gate.child), {code: 0, signal: null});
  await eventually('the output', () => gate.output() === `${file} a b 2\n`);
});

frameTest('a signal that came before the word does to the command what it does to one that runs', async (t, frame) => {
  const bit = (number: number): string => (1n << BigInt(number - 1)).toString(16).padStart(16, '0');
  const rest = SETTINGS.split(':').slice(2).join(':');
  const none = bit(1).replace('1', '0');
  // Whether it is pending at the command: 0, or 1 where it is not.
  const cases = [
    {settings: `${none}:${none}:${rest}`, result: {code: null, signal: 'SIGTERM'}},
    {settings: `${none}:${bit(15)}:${rest}`, result: {code: 1, signal: null}},
    {settings: `${bit(15)}:${none}:${rest}`, result: {code: 0, signal: null}},
  ];
  for (const {settings, result} of cases) {
    const gate = await startGate(t.context, frame, ['/bin/grep', 'grep', '-q', '^ShdPnd:.*4000$', '/proc/self/status'], {settings});
    gate.child.kill('SIGTERM');
    gate.open();
    t.deepEqual(await ended(gate.child), result as never, settings);
    await gate.report();
  }
});

/** As a jobbus-run becomes it, which nobody stands behind. */
async function startAlone(bench: Bench, frame: Frame, command: readonly string[], {settings = SETTINGS, directory = '/usr'}: Omit<GateOptions, 'closed'> = {}): Promise<{readonly code: number | null; readonly output: string}> {
  const child = startPart(bench, frame, ['jobbus-gate', settings, '3', '-', '-', '-', ...command], ['ignore', 'pipe', 'pipe', openSync(directory, 'r')]);
  let output = '';
  [child.stdout!, child.stderr!].forEach(stream => stream.on('data', (chunk: Buffer) => (output += chunk.toString())));
  const closed = new Promise(resolve => child.once('close', resolve));
  const {code} = await ended(child);
  await closed;
  return {code, output};
}

frameTest('without pipes the gate becomes the command at once', async (t, frame) => {
  t.deepEqual(await startAlone(t.context, frame, ['/bin/sh', 'sh', '-c', 'pwd; [ ! -e /proc/$$/fd/3 ] && exit 7']), {code: 7, output: '/usr\n'});
});

frameTest('without pipes the gate becomes jobbus-run again where it fails, with what has failed, in the command\'s place', async (t, frame) => {
  t.deepEqual(await startAlone(t.context, frame, ['none', 'word', 'a b']), {code: 42, output: ''});
  const shown = await readShown(frame);
  t.deepEqual(shown.words, ['jobbus-unstarted', 'exec', '2', 'none', 'word', 'a b']);
  t.true(shown.entries.includes(`:${t.context.mark}`));
  t.is(shown.descriptors.get(Number(recordOf(shown).directory)), '/usr');
});

frameTest('without pipes a directory that cannot be entered is handed to jobbus-run, too', async (t, frame) => {
  t.is((await startAlone(t.context, frame, ['/bin/true', 'true'], {directory: '/etc/passwd'})).code, 42);
  t.deepEqual((await readShown(frame)).words, ['jobbus-unstarted', 'chdir', '20', '/bin/true', 'true']);
});

frameTest('of more words than fit, jobbus-run gets as many as it needs', async (t, frame) => {
  const words = Array.from({length: 400}, () => 'x'.repeat(1000));
  const settings = SETTINGS.replace(':8388608:', ':524288:');
  t.is((await startAlone(t.context, frame, ['/bin/true', 'true', ...words], {settings})).code, 42);
  t.deepEqual((await readShown(frame)).words, ['jobbus-unstarted', 'exec', '7', '/bin/true', 'true']);
});
