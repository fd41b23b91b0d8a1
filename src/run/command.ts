/**
 * The command: started through the gate, a part of the frame that stands in its place until it is told, and that changes in itself what
 * the command is to find changed. Nothing of it is ever changed in this process, and an execution that hangs does not hang us.
 */

import {openSync} from 'node:fs';
import {failed, success, type Result} from '../cli/failure.js';
import {signalMask, statusOf, type Process} from '../system/processes.js';
import {gateWords, inherited, startPart, type CommandLine} from '../session/frame.js';
import {closePipes, openPipes} from '../system/pipes.js';
import {encode} from '../system/bytes.js';
import type {Caller} from '../system/caller.js';
import {close, duplicate, setInherited, write} from '../system/descriptors.js';
import {readLines} from '../system/lines.js';
import {isForShell, parseReport, unstarted} from './unstarted.js';

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
  const started = startPart('gate', [...gateWords(caller, [control.reader, status.writer]), encode(path), ...words], {environment, descriptors: new Map()});
  if (!started.ok) {
    closePipes(pipes.value);
    return started;
  }

  // The gate's own may be closed to us, where its file may not be read.
  const place = path.startsWith('/') || caller.directory === undefined ? undefined : duplicate(caller.directory, 3);
  handed.forEach(close);
  keepOnlyStderr();
  const pid = started.value;
  return success({
    process: {pid, startTime: statusOf(pid)?.startTime ?? ''},
    pending: () => signalMask(pid, 'ShdPnd'),
    async release() {
      const goOn = (): unknown => write(control.writer, Buffer.from('\n'));
      const reports = readLines(status.reader);
      goOn();
      let report = parseReport(await reports.next());
      const file = place === undefined ? path : `/proc/self/fd/${place}/${path}`;
      if (report !== undefined && isForShell(report, file)) {
        goOn();
        report = parseReport(await reports.next());
      }

      const failure = report && unstarted(report, file, String(words[0]));
      [control.writer, ...(place === undefined ? [] : [place])].forEach(close);
      reports.close();
      return failure === undefined ? success(undefined) : failed(failure);
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
