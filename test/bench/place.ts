/** Where the bench measures, and as whom: nothing that it was started with may distort a number. */

import {chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {onExit} from 'signal-exit';
import {installInto, project} from '../helpers/ground.js';
import type {Words} from './measure.js';

export {project};
export const directory = mkdtempSync(join(tmpdir(), 'jbb-'));

/** A copy, which every user may run; another launcher may be named, to compare two or to see the bench fail. */
export const binary = process.env.JOBBUS_BENCH_BINARY ?? join(directory, 'bin/jobbus-run');

/** Of each pair; fewer while developing. */
export const ROUNDS = Number(process.env.JOBBUS_BENCH_ROUNDS ?? 16);

export const base = join(directory, 'base');

// NODE_EXTRA_CA_CERTS alone makes Node 20 start 2.5 times slower.
export const environment: Readonly<Record<string, string>> = {HOME: directory, LANG: 'C.UTF-8', PATH: process.env.JOBBUS_BENCH_PATH ?? '/usr/local/bin:/usr/bin:/bin', JOBBUS_RUNTIME_BASE: base};

const empty = join(directory, 'empty.cjs');
const idle = join(directory, 'idle.cjs');
const foreground = join(directory, 'foreground.cjs');

/** The floor: Node that does nothing at all, and Node that waits. */
export const node: Words = [process.execPath, empty];
export const idleNode: Words = [process.execPath, idle];

/** Runs words in a pty of their own. */
export const inTerminal = join(directory, 'fixtures/in-terminal');

/** What starts a command, waits for it and hands on its exit status, as jobbus-run does among other things. */
export const wrappers: Readonly<Record<string, Words>> = {
  'jobbus-run': [binary, '--'],
  'dbus-run-session': ['dbus-run-session', '--'],
  tini: ['tini', '-s', '--'],
  'foreground-child': [process.execPath, foreground],
};

export const isRoot = process.getuid!() === 0;

const NOBODY = 65534;

/** Root takes every process for its own; as whom the bench measures what an ordinary user meets. */
export const ordinary = isRoot ? {uid: NOBODY, gid: NOBODY} : {};

export function prepare(): void {
  onExit(removePlace);
  closeInherited();
  chmodSync(directory, 0o755);
  installInto(directory);
  cpSync(join(project, 'fixtures'), join(directory, 'fixtures'), {recursive: true});
  mkdirSync(base);
  chmodSync(base, 0o1777);
  writeFileSync(empty, '');
  writeFileSync(idle, 'setInterval(() => {}, 1e9);\n');
  writeFileSync(foreground, `require(${JSON.stringify(join(project, 'node_modules/foreground-child'))}).foregroundChild(process.argv[2], process.argv.slice(3));\n`);
}

/** A descriptor that Node leaves open for its children makes every start in the bench slower. */
function closeInherited(): void {
  for (const descriptor of readdirSync('/proc/self/fd').map(Number).filter(number => number > 2)) {
    try {
      if (!closesOnExec(descriptor)) {
        closeSync(descriptor);
      }
    } catch {
      // The directory that was read is not open any more.
    }
  }
}

function closesOnExec(descriptor: number): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))![1]!;
  return (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0;
}

const CLOSE_ON_EXEC = 0o2000000;

function removePlace(): void {
  rmSync(directory, {recursive: true, force: true});
}
