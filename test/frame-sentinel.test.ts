/** The frame's sentinel hears what a process in its place hears. */

import {execFileSync, type ChildProcess} from 'node:child_process';
import {closeSync, writeSync} from 'node:fs';
import {constants} from 'node:os';
import {ALL_BLOCKED, ended, frameTest, makePipe, readNow, startPart, type Frame} from './helpers/frame.js';
import {useBench, type Bench} from './helpers/jobbus.js';
import {eventually, viewProcess} from './helpers/processes.js';

useBench();

/** Bytes of a record: two numbers of the clock, and what signalfd tells. */
const RECORD = 144;

interface Heard {
  /** 0: the answer to a question. */
  readonly signal: number;
  readonly sender: number;
  readonly value: number;
  /** Seconds of the monotonic clock. */
  readonly time: number;
}

interface Sentinel {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly next: () => Promise<Heard>;
  readonly ask: () => void;
  /** All up to the answer to a question. */
  readonly untilAnswer: () => Promise<Heard[]>;
  readonly leave: () => Promise<void>;
  readonly stopReading: () => void;
}

async function startSentinel(bench: Bench, frame: Frame, place = 'group'): Promise<Sentinel> {
  const questions = makePipe(bench, 'write');
  const answers = makePipe(bench, 'read');
  // A group of its own, as the command's has none of the tests'.
  const child = startPart(bench, frame, ['jobbus-sentinel', place], [questions.read, answers.write, 'inherit' as 'ignore'], {detached: place === 'group'});
  let bytes = Buffer.alloc(0);
  const next = async (): Promise<Heard> => {
    await eventually('a record', () => {
      bytes = Buffer.concat([bytes, readNow(answers.read) ?? Buffer.alloc(0)]);
      return bytes.length >= RECORD;
    });
    const record = bytes.subarray(0, RECORD);
    bytes = bytes.subarray(RECORD);
    return {
      time: Number(record.readBigInt64LE(0)) + Number(record.readBigInt64LE(8)) / 1e9,
      signal: record.readUInt32LE(16), sender: record.readUInt32LE(16 + 12), value: record.readInt32LE(16 + 44),
    };
  };
  const ask = (): void => void writeSync(questions.write, '?');
  const sentinel: Sentinel = {
    child, pid: child.pid!, next, ask,
    async untilAnswer() {
      const heard: Heard[] = [];
      for (let record = await next(); record.signal !== 0; record = await next()) {
        heard.push(record);
      }

      return heard;
    },
    async leave() {
      closeSync(questions.write);
      await ended(child);
      closeSync(answers.read);
    },
    stopReading: () => closeSync(answers.read),
  };
  if ((await next()).signal !== 0) {
    throw new Error('the first record is no answer');
  }

  return sentinel;
}

/** Queues real-time signals with values. */
function queue(pid: number, signals: ReadonlyArray<readonly [number, number]>): void {
  execFileSync('python3', ['-c', `import ctypes, json, sys
for signal, value in json.loads(sys.argv[2]):
    if ctypes.CDLL(None).sigqueue(int(sys.argv[1]), signal, ctypes.c_void_p(value)): sys.exit('refused')`, String(pid), JSON.stringify(signals)]);
}

const signalsOf = (records: readonly Heard[]): number[] => records.map(({signal}) => signal);

const {SIGCONT, SIGTERM, SIGTSTP, SIGSTOP} = constants.signals;

frameTest('each signal is told at once, with its sender and time, and none ends the sentinel', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  for (let number = 1; number <= 31; number++) {
    if (number !== constants.signals.SIGKILL && number !== SIGSTOP) {
      process.kill(sentinel.pid, number);
      const heard = await sentinel.next();
      t.is(heard.signal, number);
      t.is(heard.sender, process.pid);
      t.true(Math.abs(heard.time - Number(process.hrtime.bigint()) / 1e9) < 60);
    }
  }

  await sentinel.leave();
  t.is(sentinel.child.exitCode, 0);
});

frameTest('the nameless and the real-time signals are told in order, with their values', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  const queued = [[32, 1], [33, 2], [34, 3], [34, -4], [34, 5], [64, 6]] as const;
  process.kill(sentinel.pid, 'SIGSTOP');
  queue(sentinel.pid, queued);
  process.kill(sentinel.pid, 'SIGCONT');
  sentinel.ask();
  const heard = await sentinel.untilAnswer();
  t.deepEqual(heard.filter(({signal}) => signal > 31).map(({signal, value}) => [signal, value]), queued.map(pair => [...pair]));
  await sentinel.leave();
});

frameTest('CONT and TERM close together to the group are two', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  for (let count = 0; count < 20; count++) {
    process.kill(-sentinel.pid, 'SIGCONT');
    process.kill(-sentinel.pid, 'SIGTERM');
    sentinel.ask();
    t.deepEqual(signalsOf(await sentinel.untilAnswer()).sort(), [SIGTERM, SIGCONT].sort());
  }

  await sentinel.leave();
});

frameTest('TSTP and CONT are told in their order; a pending TSTP is taken back by CONT, as the kernel does', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  process.kill(sentinel.pid, 'SIGTSTP');
  t.is((await sentinel.next()).signal, SIGTSTP);
  process.kill(sentinel.pid, 'SIGCONT');
  t.is((await sentinel.next()).signal, SIGCONT);
  process.kill(sentinel.pid, 'SIGSTOP');
  await eventually('it to be stopped', () => viewProcess(sentinel.pid)?.state === 'T');
  process.kill(sentinel.pid, 'SIGTSTP');
  process.kill(sentinel.pid, 'SIGCONT');
  sentinel.ask();
  t.deepEqual(signalsOf(await sentinel.untilAnswer()), [SIGCONT]);
  await sentinel.leave();
});

frameTest('a question is answered behind what was pending, each by one answer', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  process.kill(sentinel.pid, 'SIGSTOP');
  await eventually('it to be stopped', () => viewProcess(sentinel.pid)?.state === 'T');
  sentinel.ask();
  sentinel.ask();
  process.kill(sentinel.pid, 'SIGHUP');
  process.kill(sentinel.pid, 'SIGTERM');
  process.kill(sentinel.pid, 'SIGCONT');
  t.deepEqual(signalsOf(await sentinel.untilAnswer()).sort(), [1, SIGTERM, SIGCONT].sort());
  t.deepEqual(await sentinel.untilAnswer(), []);
  await sentinel.leave();
});

frameTest('a reader that is slow loses no real-time signal, and its end is heard while the pipe is full', async (t, frame) => {
  for (const reads of [true, false]) {
    const sentinel = await startSentinel(t.context, frame);
    const queued = Array.from({length: 700}, (_, at) => [40, at] as const);
    queue(sentinel.pid, queued);
    // A pipe has room for 64 kB: 455 records.
    await eventually('it to wait', () => viewProcess(sentinel.pid)?.state === 'S');
    sentinel.ask();
    if (reads) {
      t.deepEqual((await sentinel.untilAnswer()).map(({value}) => value), queued.map(([, value]) => value));
    }

    await sentinel.leave();
    t.is(sentinel.child.exitCode, 0);
  }
});

frameTest('the sentinel ends when nobody reads', async (t, frame) => {
  const sentinel = await startSentinel(t.context, frame);
  sentinel.stopReading();
  t.is((await ended(sentinel.child)).code, 125);
});

frameTest('the sentinel stands in the group, or in a session of its own in the tree, with nothing but its two pipes', async (t, frame) => {
  const here = viewProcess(process.pid)!;
  for (const place of ['group', 'tree']) {
    const sentinel = await startSentinel(t.context, frame, place);
    const view = viewProcess(sentinel.pid)!;
    t.is(view.session, sentinel.pid);
    t.is(view.parent, here.pid);
    const status = execFileSync('cat', [`/proc/${sentinel.pid}/status`], {encoding: 'utf8'});
    t.is(/^SigBlk:\s*(\S+)/m.exec(status)?.[1], ALL_BLOCKED);
    const descriptors = execFileSync('ls', [`/proc/${sentinel.pid}/fd`], {encoding: 'utf8'}).trim().split('\n');
    t.deepEqual(descriptors, ['0', '1', '2'], 'the third is its signalfd');
    await sentinel.leave();
  }
});
