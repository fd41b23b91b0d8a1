/**
 * The command: started through the gate, a part of the frame that stands in its place until it is told, and that changes in itself what
 * the command is to find changed. Nothing of it is ever changed in this process, and an execution that hangs does not hang us.
 */

import {openSync} from 'node:fs';
import {failed, quote, success, systemReason, type Result} from '../cli/failure.js';
import {signalMask, statusOf, type Process} from '../system/processes.js';
import {gateWords, inherited, startPart, type CommandLine} from '../session/frame.js';
import {closePipes, openPipes} from '../system/pipes.js';
import type {Caller} from '../system/caller.js';
import {close, setInherited, write} from '../system/descriptors.js';
import {EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOEXEC, ENOTDIR, systemError} from '../system/errno.js';
import {readLines} from '../system/lines.js';

export interface Gate {
  readonly process: Process;
  /** Signals that wait for the command in its place: it gets them at its first step. A mask. */
  pending(): bigint;
  /** Lets it become the command. @returns why it could not */
  release(): Promise<Result<undefined>>;
}

/** Behind it, we hold none of the caller's descriptors but stderr. @returns a failure of kind `helper` */
export function startGate({path, words, environment}: CommandLine, caller: Caller): Result<Gate> {
  const pipes = openPipes('the command', ['writer', 'reader']);
  if (!pipes.ok) {
    return pipes;
  }

  const [control, status] = pipes.value;
  const handed = [...inherited(caller), control.reader, status.writer];
  handed.forEach(descriptor => setInherited(descriptor, true));
  const started = startPart('gate', [...gateWords(caller, [control.reader, status.writer]), path, ...words], {environment, descriptors: new Map()});
  if (!started.ok) {
    closePipes(pipes.value);
    return started;
  }

  handed.forEach(close);
  keepOnlyStderr();
  const pid = started.value;
  return success({
    process: {pid, startTime: statusOf(pid)?.startTime ?? ''},
    pending: () => signalMask(pid, 'ShdPnd'),
    async release() {
      write(control.writer, Buffer.from('\n'));
      close(control.writer);
      const report = readLines(status.reader);
      const line = await report.next();
      report.close();
      return line.kind === 'line' ? unstarted(line.text, String(words[0])) : success(undefined);
    },
  });
}

/** What the command closes is closed for all. 0 and 1 become /dev/null, lest the next file that is opened take their numbers. */
function keepOnlyStderr(): void {
  for (const descriptor of [0, 1]) {
    close(descriptor);
    openSync('/dev/null', 'r+');
  }
}

/** What keeps a script from running may be its interpreter's; a file that is named, and does not exist, is the interpreter, or a program's loader. */
const OF_INTERPRETER: readonly number[] = [ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG];

/** @param report of the gate: the step that failed, a number of errno(3), and of a script `#!` and its interpreter, of a program `ELF` */
function unstarted(report: string, command: string): Result<undefined> {
  const [, step = '', number = '', start = ''] = /^(\S+) (\d+)(?: (.*))?$/s.exec(report) ?? [];
  const errno = Number(number);
  const interpreter = start.startsWith('#!') && OF_INTERPRETER.includes(errno) ? start.slice(2) : undefined;
  if (step === 'exec' && errno === ENOENT) {
    return start === '' ? failed({kind: 'command-missing', command}) : failed({kind: 'interpreter-missing', command, interpreter});
  }

  const reason = errno === ENOEXEC ? (start === 'ELF' ? 'it is made for another machine' : 'it is neither a program nor a script') : systemReason(systemError(errno));
  const where = interpreter === undefined ? (step === 'exec' || errno === EACCES ? '' : `${step}: `) : `its interpreter ${quote(interpreter)}: `;
  return failed({kind: 'command-unusable', command, reason: where + reason});
}
