/**
 * Whether a path can be trusted: who may exchange a directory or a link on its way can put their own in the place of what it leads to.
 *
 * Judged from the root down, through each link by hand. What stands in a directory that was found safe can be exchanged by root and us
 * alone, so the next look, and every later use, finds what was judged: there is no race, and nothing to hold open.
 */

import {lstatSync, readlinkSync, statSync, type Stats} from 'node:fs';
import {systemReason} from '../../cli/failure.js';
import {serverOf} from '../../system/filesystems.js';
import {readProc} from '../../system/processes.js';

const STICKY = 0o1000;

/** An ACL shows here, too: where there is one, these bits of the group are its mask, beyond which it gives nobody anything. acl(5). */
const WRITABLE_BY_OTHERS = 0o022;
const ROOT = 0;

/** The kernel's default for /proc/sys/kernel/overflowuid. */
const UNMAPPED = 65_534;

/** As many as the kernel follows: path_resolution(7). */
const MOST_LINKS = 40;

/** A directory or a link that the kernel passes. */
interface Step {
  /** Without links but, perhaps, itself. */
  readonly path: string;
  readonly found: Stats;
  /** The user whose program says all this, where another file system than above begins. */
  readonly server: number | undefined;
}

/**
 * @param path absolute
 * @returns who could take away what we put there, or why it leads nowhere; undefined where nobody else can
 */
export function mistrust(path: string): string | undefined {
  const way: Step[] = [];
  try {
    for (const step of stepsTo(path)) {
      const last = way.at(-1);
      const problem = last && problemOnTheWay(last);
      if (problem !== undefined) {
        return problem;
      }

      way.push(step);
    }

    const end = way.pop()!;
    return way.some(({found}) => found.isSymbolicLink()) && !isSame(statSync(path), end.found)
      ? `it leads elsewhere than to ${end.path}, as its links say` // As those of /proc may.
      : problemAtTheEnd(end);
  } catch (error) {
    return systemReason(error);
  }
}

/** The root first; last what the path leads to. */
function* stepsTo(path: string): Generator<Step, void, undefined> {
  const names = namesIn(path);
  let here: readonly string[] = [];
  let links = 0;
  let step = lookAt(here, undefined);
  yield step;
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    const above = here;
    here = name === '..' ? above.slice(0, -1) : [...above, name];
    step = lookAt(here, step);
    yield step;
    if (step.found.isSymbolicLink()) {
      if (++links > MOST_LINKS) {
        throw Object.assign(new Error(path), {code: 'ELOOP'});
      }

      const target = readlinkSync(step.path);
      names.unshift(...namesIn(target));
      here = target.startsWith('/') ? [] : above;
      step = lookAt(here, step); // Where the link begins, and may end.
      yield step;
    }
  }
}

function namesIn(path: string): string[] {
  return path.split('/').filter(name => name !== '' && name !== '.');
}

/** @param last the step before; at the root there is none, and who serves that serves all programs, too */
function lookAt(names: readonly string[], last: Step | undefined): Step {
  const path = `/${names.join('/')}`;
  const found = lstatSync(path);
  const begins = last !== undefined && last.found.dev !== found.dev && found.isDirectory();
  return {path, found, server: begins ? serverOf(path) : undefined};
}

function isSame(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

function problemOnTheWay(step: Step): string | undefined {
  const what = step.found.isSymbolicLink() ? `the link ${step.path}` : step.path;
  if (!belongsToUsOrRoot(step)) {
    return `${what}, on its way, belongs to another user, who could lead it elsewhere`;
  }

  return isOpen(step) ? `others may write to ${what}, on its way, and it is not sticky: they could lead it elsewhere` : undefined;
}

function problemAtTheEnd(step: Step): string | undefined {
  if (!step.found.isDirectory()) {
    return 'it is not a directory';
  }

  if (!belongsToUsOrRoot(step)) {
    return 'it belongs to another user, who could take away what we put there';
  }

  return isOpen(step) ? 'others may write there and it is not sticky: they could take away what we put there' : undefined;
}

/** Whether others may exchange what is in it; the mode of a link means nothing. */
function isOpen({found}: Step): boolean {
  return found.isDirectory() && (found.mode & WRITABLE_BY_OTHERS) !== 0 && (found.mode & STICKY) === 0;
}

function belongsToUsOrRoot({path, found, server}: Step): boolean {
  return isUsOrRoot(found.uid, path) && (server === undefined || isUsOrRoot(server, path));
}

/** What every system has, and only root makes. */
const ROOTS_WORK: ReadonlySet<string> = new Set(['/', '/dev', '/dev/shm', '/home', '/mnt', '/run', '/tmp', '/var', '/var/tmp']);

/**
 * In a user namespace that knows no root, as an ordinary user's container, what is root's belongs to the user that stands for all that have
 * no number there. Root's are a few by their names; whatever else stands in the root, or is sticky, may be a colleague's.
 */
function isUsOrRoot(user: number, path: string): boolean {
  return user === process.getuid!() || user === ROOT || (user === UNMAPPED && ROOTS_WORK.has(path) && !knowsEverybody());
}

/** Whether our user namespace is that of the machine: user_namespaces(7). */
function knowsEverybody(): boolean {
  const numbers = readProc('/proc/self/uid_map')?.toString() ?? '';
  return numbers === '' || /^\s*0\s+0\s+4294967295$/m.test(numbers);
}
