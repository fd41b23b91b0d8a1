/**
 * The sentinel's side of the question that a forwarder cannot answer by itself: has the command got this signal already?
 *
 * A sender may signal one process, a process group or a whole tree. The sentinel stands where the command stands, with every signal
 * blocked, and tells each as it comes. Its answer is as new as the question: a signal to the group is pending for all of it before
 * any of it runs on.
 */

import {closePipes, openPipes} from '../system/pipes.js';
import {close, readAvailable, write} from '../system/descriptors.js';
import {now} from '../system/clock.js';
import {onReadable, within, type Stop} from '../system/loop.js';
import {parseSignal, SIGINFO_SIZE, type Signal} from '../system/signals.js';
import {success, type Result} from '../cli/failure.js';
import {startPart} from '../session/frame.js';

export interface Sentinel {
  readonly pid: number;
  /** Set once it listens, or cannot. */
  readonly ready: Promise<void>;
  /** What it has heard and nobody has used, oldest first. */
  readonly heard: Heard[];
  /** Waits until all that was pending for it has been told. @returns false where it does not answer in time */
  ask(): Promise<boolean>;
  /** Lets it end. */
  end(): void;
}

export interface Heard extends Signal {
  /** By the clock of the loop, in milliseconds. */
  readonly time: number;
}

/** Milliseconds for an answer, on a node on which all wait for a processor. Without one, as of a sentinel that is stopped, the signal is better forwarded twice than never. */
const ANSWER_TIME = 5000;

/** Its time, two numbers of 64 bits, and the signal. */
const TIME_SIZE = 16;
const RECORD_SIZE = TIME_SIZE + SIGINFO_SIZE;

/** What nobody has used for so many milliseconds, nobody will. */
const MEMORY = 10_000;

/** @param place in our process group; or in our tree, outside of it */
export function startSentinel(place: 'group' | 'tree'): Result<Sentinel> {
  const pipes = openPipes('sentinel', ['writer', 'reader']);
  if (!pipes.ok) {
    return pipes;
  }

  const [questions, answers] = pipes.value;
  const started = startPart('sentinel', [place], {environment: [], descriptors: new Map([[0, questions.reader], [1, answers.writer]])});
  if (!started.ok) {
    closePipes(pipes.value);
    return started;
  }

  close(questions.reader);
  close(answers.writer);
  return success(listening(started.value, questions.writer, answers.reader));
}

function listening(pid: number, questions: number, answers: number): Sentinel {
  const heard: Heard[] = [];
  const awaited: Array<() => void> = [];
  let gone = false;

  const take = (record: Buffer): void => {
    const signal = parseSignal(record, TIME_SIZE);
    if (signal.number === 0) {
      awaited.shift()?.();
      return;
    }

    const time = now();
    heard.push({...signal, time});
    while (heard[0]!.time < time - MEMORY) {
      heard.shift();
    }
  };
  const end = (): void => {
    stop();
    if (!gone) {
      gone = true;
      close(answers);
      close(questions);
      awaited.splice(0).forEach(resolve => resolve());
    }
  };
  const stop = readRecords(answers, take, end);

  const answer = async (): Promise<boolean> => {
    // Behind one that does not answer, the next must not take its answer: the place in the row is kept.
    const answered = gone ? Promise.resolve() : new Promise<void>(resolve => awaited.push(resolve));
    return (await within(ANSWER_TIME, answered)) && !gone;
  };
  return {
    pid,
    heard,
    ready: answer().then(() => undefined),
    async ask() {
      const answered = answer();
      write(questions, Buffer.from('?'));
      return answered;
    },
    end,
  };
}

/** @param onEnd called when there is nobody left to write any */
function readRecords(descriptor: number, onRecord: (record: Buffer) => void, onEnd: () => void): Stop {
  let rest = Buffer.alloc(0);
  return onReadable(descriptor, () => {
    const bytes = readAvailable(descriptor);
    if (!Buffer.isBuffer(bytes) || bytes.length === 0) {
      onEnd();
      return;
    }

    rest = Buffer.concat([rest, bytes]);
    for (; rest.length >= RECORD_SIZE; rest = rest.subarray(RECORD_SIZE)) {
      onRecord(rest.subarray(0, RECORD_SIZE));
    }
  });
}
