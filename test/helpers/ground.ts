/** The program under test, and what is seen of its processes from outside. `JOBBUS_TEST_PROGRAM` names another launcher than the project's, by its absolute path. */

import {chmodSync, copyFileSync, linkSync, mkdirSync, readlinkSync} from 'node:fs';
import {dirname, join} from 'node:path';

export const project = join(import.meta.dirname, '../../..');

export const binary = process.env.JOBBUS_TEST_PROGRAM ?? join(project, 'bin/jobbus-run');

const SUPERVISOR = 'lib/jobbus-run/supervisor';

/** Installs the program under test into the directory, to where another user can reach it. @returns the launcher's path */
export function installInto(directory: string): string {
  const launcher = join(directory, 'bin/jobbus-run');
  mkdirSync(dirname(launcher), {recursive: true});
  copyFileSync(binary, launcher);
  chmodSync(launcher, 0o755);
  mkdirSync(join(directory, dirname(SUPERVISOR)), {recursive: true});
  linkOrCopy(join(dirname(dirname(binary)), SUPERVISOR), join(directory, SUPERVISOR));
  return launcher;
}

/** It has a hundred megabytes. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // Another file system; or another user's file.
  }
}

interface Seen {
  readonly pid: number;
  readonly words: readonly string[];
}

/** Jobbus-run itself: the task. Not its helpers. */
export function isJobbusRun({pid, words}: Seen): boolean {
  // With the caller's words; before it is the supervisor, it is the launcher.
  const program = programOf(pid);
  return program.endsWith(`/${SUPERVISOR}`) || (program.endsWith('/bin/jobbus-run') && !/^jobbus-(keeper|sentinel|gate)$/.test(words[0] ?? ''));
}

export function isKeeper({words}: Seen): boolean {
  return words.includes('jobbus-keeper');
}

export function isSentinel({words}: Seen): boolean {
  return words.includes('jobbus-sentinel');
}

/** Whether it is one of the program under test, or of a copy below the directory: it has no environment to find it by. */
export function isSentinelOf(view: Seen, directory: string): boolean {
  return isSentinel(view) && (programOf(view.pid) === binary || programOf(view.pid).startsWith(`${directory}/`));
}

/** The file that it executes; empty where nobody may know. */
function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return '';
  }
}

/** What the caller has handed down: the frame puts two entries of its own first, a record and one for the engine, and one byte in front of each of the others. */
export function callersEntries(entries: readonly string[]): string[] {
  return entries[0]?.startsWith('JOBBUS_LAUNCHER=2:') === true ? entries.filter(entry => entry.startsWith(':')).map(entry => entry.slice(1)) : [...entries];
}
