/** The command: started with what the caller handed down, signalled, and how it ended. */

import {spawn, type ChildProcess} from 'node:child_process';
import {closeSync, fstatSync, openSync} from 'node:fs';
import type {Duplex} from 'node:stream';
import {failed, signalStatus, success, systemReason, type Result} from './failure.js';
import type {Caller} from './inherited.js';
import {log, warn} from './log.js';
import {readProc, statusOf, type Process} from './processes.js';
import {restoring} from './restoration.js';
import {signalNumber} from './signal-numbers.js';

export interface Command {
  readonly process: Process;
  /**
   * Lets it begin. Until then a shell stands in its place, which a signal to our group may end, as it would end any command at
   * its first step, but which counts none.
   */
  release(): void;
  /**
   * Does nothing once the command has ended: its pid is not ours any more. Nor where the caller ignores the signal, and with it the
   * command from its first step, and a shell stands in its place that may not do so yet.
   */
  signal(signal: NodeJS.Signals): void;
  /** Its exit status, 128+n for a death by signal n. */
  readonly ended: Promise<number>;
}

/** What says nothing of the command: nothing more can be started. */
const OURS = ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE'];

/** @returns the running command, or a failure of kind `command-unusable` or, where nothing more can be started, `helper` */
export async function startCommand(words: readonly [string, ...string[]], caller: Caller, environment: Readonly<Record<string, string>>): Promise<Result<Command>> {
  const {words: shell, environment: env, stdio, gate} = restoring(caller, environment, words);
  const [file = '', ...rest] = shell;
  let child: ChildProcess;
  try {
    child = spawn(file, rest, {env, stdio});
  } catch (error) {
    return failed({kind: 'command-unusable', command: words[0], reason: systemReason(error)});
  }

  const ended = new Promise<number>(resolve => child.once('exit', (code, signal) => resolve(code ?? signalStatus(signal!))));
  if (child.pid === undefined) {
    const error = await new Promise(resolve => child.once('error', resolve));
    return OURS.includes((error as NodeJS.ErrnoException).code ?? '')
      ? failed({kind: 'helper', helper: 'the command', reason: systemReason(error)})
      : failed({kind: 'command-unusable', command: words[0], reason: systemReason(error)});
  }

  // A command such as sudo becomes another user's, whom we may send nothing.
  child.on('error', error => warn(`sending a signal to the command, process ${child.pid}, failed: ${systemReason(error)}; is it another user's by now?`));
  const started = statusOf(child.pid);
  letGo(caller.descriptors);
  const gateway = gate === undefined ? undefined : (child.stdio[gate] as Duplex);
  gateway?.on('error', () => {}); // The shell has been killed, which its status tells.
  return success({
    process: {pid: child.pid, startTime: started?.startTime ?? ''},
    release: () => void gateway?.end('\n', () => gateway.destroy()),
    signal(signal) {
      if (!caller.ignoredSignals.includes(signalNumber(signal)) || !isStill(child.pid!, shell)) {
        child.kill(signal);
      }
    },
    ended,
  });
}

/** Whether a process has not executed anything since it was started with these words. */
function isStill(pid: number, words: readonly string[]): boolean {
  return readProc(`/proc/${pid}/cmdline`)?.toString() === `${words.join('\0')}\0`;
}

/**
 * The command's descriptors are the command's alone: when it closes a pipe, the other end must see that. Only stderr stays,
 * for our warnings. 0 and 1 become /dev/null, lest the next file that is opened take their numbers.
 */
function letGo(descriptors: readonly number[]): void {
  for (const descriptor of [0, 1]) {
    close(descriptor);
    openSync('/dev/null', 'r+');
  }

  descriptors.forEach(close);

  keepTerminalSettings();
}

/** A file on a network file system may tell only now that another writer found it full: that is not ours, and the descriptor is free anyway. */
function close(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Of close(2): Linux frees it in any case.
  }
}

/**
 * As it exits, Node restores the settings of a terminal on 0, 1 or 2, and so would undo a `stty` of the command's. It
 * restores only where the descriptor is still the file that it was.
 */
function keepTerminalSettings(): void {
  if (!fstatSync(2).isCharacterDevice()) {
    return;
  }

  try {
    log.descriptor = openSync('/proc/self/fd/2', 'a');
    closeSync(2);
    openSync('/dev/null', 'r+');
  } catch {
    // The terminal is another user's, as after su: its settings are theirs as well.
  }
}
