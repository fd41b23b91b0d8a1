/**
 * What could not be executed, and why: a gate tells but the number of the error. Where nobody stands behind it, as behind one that has joined a
 * session, it becomes jobbus-run again, by another name, and its words come here.
 */

import {closeSync, constants, openSync, readSync} from 'node:fs';
import {quote, systemReason, type Failure} from '../cli/failure.js';
import {report} from '../session/begin.js';
import {becomeCommand} from '../session/frame.js';
import {decode, encode} from '../system/bytes.js';
import {directoryOf, type Caller} from '../system/caller.js';
import {E2BIG, EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOEXEC, ENOTDIR, systemError} from '../system/errno.js';
import {ifPossible} from '../system/if-possible.js';
import type {Line} from '../system/lines.js';

interface Report {
  /** `exec`, or what comes before it. */
  readonly step: string;
  readonly errno: number;
}

/** What runs a file that names no interpreter, as in execvp(3). */
const SHELL = '/bin/sh';

/** @returns undefined where a gate has nothing to report: the command runs */
export function parseReport(line: Line): Report | undefined {
  const [step, number] = line.kind === 'line' ? line.text.split(' ') : [];
  return step === undefined ? undefined : {step, errno: Number(number)};
}

/** Bytes; as much of a file as the kernel looks at. */
const START_SIZE = 256;

/** @returns the first bytes; undefined where they cannot be read */
function startOf(file: string): Buffer | undefined {
  // Without waiting: it may be a FIFO.
  const descriptor = ifPossible(() => openSync(encode(file), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY));
  if (descriptor === undefined) {
    return undefined;
  }

  const start = Buffer.alloc(START_SIZE);
  const length = ifPossible(() => readSync(descriptor, start));
  closeSync(descriptor);
  return length === undefined ? undefined : start.subarray(0, length);
}

/** Whether it is a script that names no interpreter, which no kernel executes. */
export function isForShell({step, errno}: Report, file: string): boolean {
  const start = step === 'exec' && errno === ENOEXEC ? startOf(file) : undefined;
  return start !== undefined && isScript(start);
}

/** What a shell can read as commands. Behind a line of plain ASCII there may be anything: a script that unpacks the rest of its file. */
function isScript(start: Buffer): boolean {
  const line = start.subarray(0, Math.max(0, start.indexOf('\n')));
  return start.every(isOfText) || (line.length > 0 && line.every(byte => isOfText(byte) && byte < 0x80));
}

/** As file(1) has it, of every encoding but UTF-16: of the characters below the blank, text has BEL to CR, and ESC. */
function isOfText(byte: number): boolean {
  return byte < 0x20 ? (byte >= 0x07 && byte <= 0x0d) || byte === 0x1b : byte !== 0x7f;
}

/** What keeps a script from running may be its interpreter's. A file that is named, and does not exist, is the interpreter, or a program's loader. */
const OF_INTERPRETER: readonly number[] = [ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG];

export function unstarted({step, errno}: Report, file: string, command: string): Failure {
  const reason = systemReason(systemError(errno));
  if (step !== 'exec') {
    const isEntering = step === 'chdir';
    return {kind: 'command-unusable', command, reason: `${isEntering ? 'entering its working directory' : step}: ${reason}`, ...(isEntering && {advice: 'go to one that may be entered'})};
  }

  const readable = startOf(file);
  if (errno === ENOEXEC && readable === undefined) {
    return {kind: 'command-unusable', command, reason: 'it is no program for this machine, and it may not be read, as a script must be', advice: 'make it readable'};
  }

  const start = readable ?? Buffer.alloc(0);
  const isProgram = start.toString('latin1', 0, 4) === '\x7fELF';
  const [, interpreter] = OF_INTERPRETER.includes(errno) ? /^#![ \t]*([^ \t\n]*)/.exec(decode(start)) ?? [] : [];
  if (errno === ENOENT) {
    return isProgram || interpreter !== undefined ? {kind: 'interpreter-missing', command, interpreter} : {kind: 'command-missing', command};
  }

  if (errno === ENOEXEC) {
    return {kind: 'command-unusable', command, reason: isProgram ? 'it is made for another machine' : 'it is neither a program nor a script'};
  }

  if (errno === E2BIG) {
    return {kind: 'command-unusable', command, reason, advice: 'shorten them, or raise the limit of the stack (ulimit -s)'};
  }

  return {kind: 'command-unusable', command, reason: interpreter === undefined ? reason : `its interpreter ${quote(interpreter)}: ${reason}`};
}

/** For a gate that nobody stands behind. @returns the exit status, where this process does not become a shell that runs the command */
export function goOnUnstarted(caller: Caller): number {
  const [step = '', number, path = '', command = ''] = caller.words;
  const file = path.startsWith('/') ? path : `${directoryOf(caller)}/${path}`;
  const reported = {step, errno: Number(number)};
  if (!isForShell(reported, file)) {
    return report(unstarted(reported, file, command));
  }

  const [, , rawPath, , ...words] = caller.rawWords;
  return report(becomeCommand({path: SHELL, words: [SHELL, rawPath!, ...words], environment: caller.entries}, caller));
}
