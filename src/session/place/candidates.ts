/**
 * Where a session may go: the bases, in the order in which they are tried, and why one cannot serve.
 *
 * What can be seen is looked at beforehand. Whether sockets can be bound and connected is not: the bus itself is the probe,
 * which costs a launch next to nothing; where the bus fails, sockets.ts tells whether the place is to blame.
 */

import {accessSync, closeSync, constants, openSync, readdirSync} from 'node:fs';
import {mistrust} from './ancestors.js';
import {answers, LOCAL_BASES} from './answers.js';
import {commonParent, dirname, isSquatted, parentIn} from './directory.js';
import {systemReason} from '../../cli/failure.js';
import {ifPossible} from '../../system/if-possible.js';
import {networkFileSystemOf} from '../../system/filesystems.js';
import {mayHang} from '../../system/mounts.js';
import {O_PATH} from '../../system/open-directory.js';
import {readProc} from '../../system/processes.js';

export type Environment = Readonly<Record<string, string | undefined>>;

interface Place {
  readonly base: string;
  /** What it is, for people. */
  readonly origin: string;
}

export interface Candidate extends Place {
  /** Where sessions go there; the empty string where none can. */
  readonly parent: string;
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

/** How often a base is tried where its parent is squatted between look and use; each time a parent with other letters. */
const TURNS = 3;

/**
 * The bases with their verdicts: local ones in their order, then network ones, then, for want of anything better, those that
 * seem to serve once more with an abstract socket. Nobody looks at a base before those in front of it have failed: a home
 * whose server hangs would hold up every run.
 *
 * @param explicit the only base to try
 * @param name the session's
 */
export async function* candidates(explicit: string | undefined, environment: Environment, name: string): AsyncGenerator<Candidate, void, undefined> {
  const look = async ({base, origin}: Place): Promise<Candidate> => examine(base, origin, name, explicit === undefined);
  if (explicit !== undefined) {
    yield* turns(await look({base: explicit, origin: 'as asked for'}), look);
    return;
  }

  const local: Candidate[] = [];
  const network: Candidate[] = [];
  for (const place of implicitBases(environment)) {
    const first = await look(place);
    if (first.network === undefined) {
      local.push(first);
      yield* turns(first, look);
    } else {
      network.push(first);
    }
  }

  for (const first of network) {
    yield* turns(first, look);
  }

  for (const place of [...local, ...network].filter(({problem}) => problem === undefined)) {
    for await (const candidate of turns(await look(place), look)) {
      yield {...candidate, abstract: true};
    }
  }
}

/** Once, and again where somebody has put something in the parent's place since it was looked at. */
async function* turns(first: Candidate, look: (place: Place) => Promise<Candidate>): AsyncGenerator<Candidate, void, undefined> {
  yield first;
  let last = first;
  for (let turn = 2; turn <= TURNS && last.problem === undefined && isSquatted(last.base, last.parent); turn++) {
    last = await look(last);
    yield last;
  }
}

function implicitBases(environment: Environment): Place[] {
  const cache = environment.XDG_CACHE_HOME || (environment.HOME && `${environment.HOME}/.cache`);
  const usual = [{base: '/tmp', origin: 'the usual place'}, ...(environment.TMPDIR ? [{base: environment.TMPDIR, origin: 'TMPDIR'}] : [])];
  const inMemory = [{base: '/dev/shm', origin: 'in memory'}];
  const bases = [
    ...(isEmptiedAtCancel(environment) ? [...inMemory, ...usual] : [...usual, ...inMemory]),
    ...(cache ? [{base: cache, origin: 'the cache at home'}] : []),
  ];
  return firstOfEachBase(bases);
}

/** A base may be named twice, and is tried more than once: for people it is one. */
export function firstOfEachBase<Item extends {readonly base: string}>(items: readonly Item[]): Item[] {
  return items.filter(({base}, index) => items.findIndex(other => other.base === base) === index);
}

/**
 * Slurm's job_container/tmpfs gives a job a /tmp of its own, BASE/JOB/.JOB on the node, and at scancel empties it at once, while
 * the command still saves; the /dev/shm that it gives stays. Measured with Slurm 22.05. From 24.11 on, and as namespace/tmpfs from 25.11 on,
 * it is BASE/NODE/JOB/.JOB/_tmp.
 */
function isEmptiedAtCancel(environment: Environment): boolean {
  return environment.SLURM_JOB_ID !== undefined && / \S*\/(\d+)\/\.\1(?:\/_tmp)? \/tmp /.test(readProc('/proc/self/mountinfo')?.toString('latin1') ?? '');
}

async function examine(base: string, origin: string, name: string, roomy: boolean): Promise<Candidate> {
  const unfit = (problem: string): Candidate => ({base, parent: '', origin, problem, network: undefined, abstract: false});
  try {
    const problem = !base.startsWith('/') ? 'it is not an absolute path' : (await isSilent(base)) ? 'its file system does not answer' : visibleProblem(base);
    if (problem !== undefined) {
      return unfit(problem);
    }

    const parent = parentIn(base);
    const tooLong = lengthProblem(`${parent}/${name}`, roomy);
    return tooLong === undefined ? {base, parent, origin, problem: undefined, network: networkFileSystemOf(base), abstract: false} : unfit(tooLong);
  } catch (error) {
    return unfit(systemReason(error));
  }
}

async function isSilent(base: string): Promise<boolean> {
  return !LOCAL_BASES.has(base) && mayHang(base) && !(await answers(base));
}

function visibleProblem(base: string): string | undefined {
  const problem = mistrust(base);
  if (problem === undefined) {
    accessSync(base, constants.W_OK | constants.X_OK);
  }

  return problem;
}

/** @param roomy for the sockets of services too, not just for the bus */
function lengthProblem(directory: string, roomy: boolean): string | undefined {
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
    const parent = commonParent(base);
    // Where we may not even look, we have left nothing.
    return ifPossible(() => (parent === dirname(directory) ? readdirSync(parent).length > 1 : isThere(parent))) === true;
  });
}

/** Without a look at it: what is mounted there may hang. */
function isThere(path: string): boolean {
  closeSync(openSync(path, O_PATH | constants.O_NOFOLLOW));
  return true;
}
