/**
 * Where a session may go: the bases, in the order in which they are tried, and why one cannot serve.
 *
 * What can be seen is looked at beforehand. Whether sockets can be bound and connected is not: the bus itself is the probe,
 * which costs a launch nothing; where the bus fails, {@link socketProblem} tells whether the place is to blame.
 */

import {accessSync, constants, lstatSync, readdirSync, statfsSync, statSync, unlinkSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {dirname, parentIn, parentName} from './directory.js';
import {systemReason} from './failure.js';
import {networkFileSystem} from './filesystems.js';
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

/** The kernel's limit, less what services add to the directory's path: /keyring/control is the longest common one. */
const LONGEST_ROOMY_DIRECTORY = 107 - '/keyring/control'.length;

const STICKY = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;
const ROOT = 0;
const OVERFLOW_USER = 65_534;

/** Nobody but root or who has made the container can have put these where they are. */
const SYSTEM_PLACES: ReadonlySet<string> = new Set(['/tmp', '/dev/shm']);

/**
 * All bases with their verdicts: those that serve first, local before network ones; then, for want of anything better, the
 * same once more with an abstract socket.
 *
 * @param explicit the only base to try
 * @param name the session's
 */
export function candidates(explicit: string | undefined, environment: Environment, name: string): Candidate[] {
  const bases = explicit === undefined ? implicitBases(environment) : [{base: explicit, origin: 'as asked for'}];
  const examined = bases.map(({base, origin}) => examine(base, origin, name, explicit === undefined));
  const local = examined.filter(({network}) => network === undefined);
  const shared = examined.filter(({network}) => network !== undefined);
  const inOrder = [...local, ...shared];
  const abstract = inOrder.filter(({problem}) => problem === undefined).map(candidate => ({...candidate, abstract: true}));
  return explicit === undefined ? [...inOrder, ...abstract] : inOrder;
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
  const absolute = base.startsWith('/');
  const problem = absolute ? (visibleProblem(base) ?? lengthProblem(`${parentIn(base)}/${name}`, roomy)) : 'it is not an absolute path';
  return {base, origin, problem, network: problem === undefined ? networkFileSystem(statfsSync(base).type) : undefined, abstract: false};
}

function visibleProblem(base: string): string | undefined {
  try {
    const found = statSync(base);
    if (!found.isDirectory()) {
      return 'it is not a directory';
    }

    if (found.uid !== ROOT && found.uid !== process.getuid!() && !(SYSTEM_PLACES.has(base) && isUnmapped(found.uid))) {
      return 'it belongs to another user, who could take away what we put there';
    }

    if ((found.mode & WRITABLE_BY_OTHERS) !== 0 && (found.mode & STICKY) === 0) {
      return 'others may write there and it is not sticky: they could take away what we put there';
    }

    accessSync(base, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}

/** In a container of an ordinary user's, root has no number, and what belongs to root seems to belong to nobody: user_namespaces(7). */
function isUnmapped(user: number): boolean {
  return user === OVERFLOW_USER && !/^\s*0\s+0\s+4294967295$/m.test(readProc('/proc/self/uid_map')?.toString() ?? '');
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

const PROBE_TIME = 2000;

/** Binds a socket in the directory, connects to it and removes it. @returns what failed */
export async function socketProblem(directory: string): Promise<string | undefined> {
  const path = `${directory}/probe`;
  const server = createServer(connection => connection.destroy());
  const problem = await new Promise<string | undefined>(resolve => {
    const timer = setTimeout(() => resolve('a socket there does not answer'), PROBE_TIME);
    server.once('error', error => resolve(`no socket can be bound there: ${systemReason(error)}`));
    server.listen(path, () => {
      const client = connect(path, () => resolve(undefined));
      client.once('error', error => resolve(`no socket can be connected to there: ${systemReason(error)}`));
      client.once('close', () => clearTimeout(timer));
    });
  });
  server.close();
  try {
    unlinkSync(path);
  } catch {
    // It was never bound.
  }

  return problem;
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
