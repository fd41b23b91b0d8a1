/**
 * Which shell evaluates what we print?
 *
 * Not simply our parent: between it and us may stand a subshell, or a command such as timeout(1). It is who reads: of our ancestors, the
 * nearest that holds the other end of the pipe on our stdout, and not this end, too. A subshell of bash holds both where stdin was closed.
 */

import {constants, readlinkSync} from 'node:fs';
import {descriptorNumbers, descriptorTarget} from '../system/open-files.js';
import {readProc, statFields, statusOf, type Process} from '../system/processes.js';

export interface CallingShell extends Process {
  /** A copy of another shell, made for a pipeline, a substitution or parentheses. */
  readonly isSubshell: boolean;
  /** Its command line, for people. */
  readonly words: readonly string[];
}

/** @returns undefined when nobody evaluates */
export function findCallingShell(): CallingShell | undefined {
  const output = readlinkSync('/proc/self/fd/1');
  const readers = output.startsWith('pipe:') ? ancestors().filter(ancestor => holds(ancestor, output, constants.O_RDONLY)) : [];
  // A shell that has just forked may not have closed this end yet.
  const pid = readers.find(reader => !holds(reader, output, constants.O_WRONLY)) ?? readers[0];
  const status = pid === undefined ? undefined : statusOf(pid);
  return status && {pid: status.pid, startTime: status.startTime, isSubshell: isCopy(status.pid, status.parent), words: wordsOf(status.pid)};
}

/** Our parent first. */
export function ancestors(): readonly number[] {
  const found: number[] = [];
  for (let pid = statusOf(process.pid)!.parent; pid > 0; pid = statusOf(pid)?.parent ?? 0) {
    found.push(pid);
  }

  return found;
}

/** @param mode of the open file */
function holds(pid: number, pipe: string, mode: number): boolean {
  return descriptorNumbers(pid).some(descriptor => descriptorTarget(pid, descriptor) === pipe && modeOf(pid, descriptor) === mode);
}

function modeOf(pid: number, descriptor: string): number {
  const flags = /^flags:\s*([0-7]+)/m.exec(readProc(`/proc/${pid}/fdinfo/${descriptor}`)?.toString() ?? '')?.[1] ?? '';
  return Number.parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR);
}

/** Forked and not executed: what exec places at random, such as the stack, is where it is in the parent. */
function isCopy(pid: number, parent: number): boolean {
  const [own, other] = [pid, parent].map(of => [statFields(`/proc/${of}`)?.[STACK], ...wordsOf(of)].join('\0'));
  return own === other;
}

/** Field 28 of proc(5)'s stat: where the stack begins. */
const STACK = 25;

function wordsOf(pid: number): readonly string[] {
  return readProc(`/proc/${pid}/cmdline`)?.toString().split('\0').slice(0, -1) ?? [];
}
