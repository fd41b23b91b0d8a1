/**
 * Where a session may go: the bases, in the order in which they are tried, and why one cannot serve.
 *
 * What can be seen is looked at beforehand. Whether sockets can be bound and connected is not: the bus itself is the probe,
 * which costs a launch next to nothing; where the bus fails, sockets.ts tells whether the place is to blame.
 */

import {accessSync, constants, lstatSync, readdirSync, statSync} from 'node:fs';
import {dirname, parentIn, parentName} from './directory.js';
import {systemReason} from './failure.js';
import {networkFileSystemOf} from './filesystems.js';
import {readProc} from './processes.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Candidate {
  readonly base: string;
  /** What it is, for people. */
  readonly origin: string;
  /** Why no session can go there, as far as one can see; undefined: it seems to serve. */
  readonly problem: string | undefined;
  /** Set where other hosts may share it. */
  readonly network: string | undefined;
  /** The bus gets an abstract socket: no file system in sight takes one with a path. */
  readonly abstract: boolean;
}

/** libdbus's limit for the path of a socket, in bytes; the kernel's is 107. */
const LONGEST_BUS_PATH = 99;

/** The kernel's limit, less what services add to the directory's path: gvfs has the longest common one, before podman and the keyring. */
const LONGEST_ROOMY_DIRECTORY = 107 - '/gvfsd/socket-XXXXXXXX'.length;

const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;
const ROOT = 0;

/** The kernel's default for /proc/sys/kernel/overflowuid. */
const UNMAPPED = 65_534;

/**
 * The bases with their verdicts: local ones in their order, then network ones, then, for want of anything better, those that
 * seem to serve once more with an abstract socket. Nobody looks at a base before those in front of it have failed: a home
 * whose server hangs would hold up every run.
 *
 * @param explicit the only base to try
 * @param name the session's
 */
export function* candidates(explicit: string | undefined, environment: Environment, name: string): Generator<Candidate, void, undefined> {
  if (explicit !== undefined) {
    yield examine(explicit, 'as asked for', name, false);
    return;
  }

  const local: Candidate[] = [];
  const network: Candidate[] = [];
  for (const {base, origin} of implicitBases(environment)) {
    const candidate = examine(base, origin, name, true);
    if (candidate.network === undefined) {
      local.push(candidate);
      yield candidate;
    } else {
      network.push(candidate);
    }
  }

  yield* network;
  for (const candidate of [...local, ...network].filter(({problem}) => problem === undefined)) {
    yield {...candidate, abstract: true};
  }
}

function implicitBases(environment: Environment): Array<{base: string; origin: string}> {
  const cache = environment.XDG_CACHE_HOME || (environment.HOME && `${environment.HOME}/.cache`);
  const usual = [{base: '/tmp', origin: 'the usual place'}, ...(environment.TMPDIR ? [{base: environment.TMPDIR, origin: 'TMPDIR'}] : [])];
  const inMemory = [{base: '/dev/shm', origin: 'in memory'}];
  return [
    ...(isEmptiedAtCancel(environment) ? [...inMemory, ...usual] : [...usual, ...inMemory]),
    ...(cache ? [{base: cache, origin: 'the cache at home'}] : []),
  ];
}

/**
 * Slurm's job_container/tmpfs gives a job a /tmp of its own, BASE/JOB/.JOB on the node, and at scancel empties it at once, while
 * the command still saves; the /dev/shm that it gives stays. Measured with Slurm 22.05.
 */
function isEmptiedAtCancel(environment: Environment): boolean {
  return environment.SLURM_JOB_ID !== undefined && / \S*\/(\d+)\/\.\1 \/tmp /.test(readProc('/proc/self/mountinfo')?.toString('latin1') ?? '');
}

function examine(base: string, origin: string, name: string, roomy: boolean): Candidate {
  try {
    const problem = base.startsWith('/') ? (visibleProblem(base) ?? lengthProblem(`${parentIn(base)}/${name}`, roomy)) : 'it is not an absolute path';
    return {base, origin, problem, network: problem === undefined ? networkFileSystemOf(base) : undefined, abstract: false};
  } catch (error) {
    return {base, origin, problem: systemReason(error), network: undefined, abstract: false};
  }
}

function visibleProblem(base: string): string | undefined {
  const found = statSync(base);
  if (!found.isDirectory()) {
    return 'it is not a directory';
  }

  const sticky = (found.mode & STICKY) !== 0;
  if (found.uid !== process.getuid!() && !isRoots(found.uid, sticky)) {
    return 'it belongs to another user, who could take away what we put there';
  }

  if ((found.mode & WRITABLE_BY_OTHERS) !== 0 && !sticky) {
    return 'others may write there and it is not sticky: they could take away what we put there';
  }

  accessSync(base, constants.W_OK | constants.X_OK);
  return undefined;
}

/** In a user namespace that knows no root, as an ordinary user's container, /tmp belongs to the user that stands for all that have no number there. */
function isRoots(user: number, sticky: boolean): boolean {
  return user === ROOT || (user === UNMAPPED && sticky && !knowsEverybody());
}

/** Whether our user namespace is that of the machine: user_namespaces(7). */
function knowsEverybody(): boolean {
  const numbers = readProc('/proc/self/uid_map')?.toString() ?? '';
  return numbers === '' || /^\s*0\s+0\s+4294967295$/m.test(numbers);
}

/** @param roomy for the sockets of services too, not just for the bus */
export function lengthProblem(directory: string, roomy: boolean): string | undefined {
  const length = Buffer.byteLength(directory);
  if (length + '/bus'.length > LONGEST_BUS_PATH) {
    return `the path of the bus would have ${length + '/bus'.length} bytes, and D-Bus takes ${LONGEST_BUS_PATH}`;
  }

  return roomy && length > LONGEST_ROOMY_DIRECTORY
    ? `the directory's path would have ${length} bytes: over ${LONGEST_ROOMY_DIRECTORY}, services have no room for their sockets`
    : undefined;
}

/** All bases in which this user's runs on this node may have left a session: what a sweep looks through. */
export function sweptBases(environment: Environment, own: string | undefined): string[] {
  const bases = [...(own ? [own] : []), ...implicitBases(environment).map(({base}) => base)];
  return [...new Set(bases.filter(base => base.startsWith('/')).map(base => base.replace(/(?<=.)\/+$/, '')))];
}

/** Whether there may be other sessions than the one in the directory: a glance, for there mostly are none. */
export function mayHaveNeighbours(bases: readonly string[], directory: string): boolean {
  return bases.some(base => {
    const parent = `${base}/${parentName(process.getuid!())}`;
    try {
      return parent === dirname(directory) ? readdirSync(parent).length > 1 : lstatSync(parent, {throwIfNoEntry: false}) !== undefined;
    } catch {
      return false; // Where we may not even look, we have left nothing.
    }
  });
}
