/**
 * /proc: which processes belong to a session, and ending them.
 *
 * A pid alone names nobody for long, so a process is noted with its start time and looked at again just before each
 * signal. Zombies count as gone: whether the parent has reaped them is not ours to wait for.
 */

import {closeSync, openSync, readdirSync, readFileSync, readSync, statSync} from 'node:fs';
import {now, pause} from './clock.js';

export interface Process {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of proc(5)'s stat. */
  readonly startTime: string;
}

export interface ProcessStatus extends Process {
  /** One letter, of the main thread: R, S, D, T (stopped), Z (zombie), … */
  readonly state: string;
  /**
   * It is a zombie. Where the main thread is one and others are left, it runs on, or holds its files until they are gone, too: by field 20,
   * in which the main thread counts until its parent has taken note of its end.
   */
  readonly isOver: boolean;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

/** What ties a process to a session, and what unties it. */
export interface Belonging {
  /** `NAME=value` entries of an environment, one of which is enough. */
  readonly marks: readonly string[];
  /** The daemon: its descendants belong, it does not; the bus is to answer to the end. */
  readonly daemon?: Process | undefined;
  /** Processes known in other ways to belong, such as owners of the bus's connections. */
  readonly known?: readonly number[];
  /** The session's start, in clock ticks since boot: nothing older belongs. Undefined: anything may. */
  readonly since?: string | undefined;
  /** The scheduler's job in which the session runs; undefined: nobody knows, and nothing is another job's. */
  readonly job?: JobMembership | undefined;
  /** Nothing belongs that was there when {@link newestPid} said so. Undefined: anything may. */
  readonly after?: number | undefined;
  /** These are left alone, whatever they bear: who waits for us to end the session. */
  readonly spared?: readonly number[] | undefined;
}

export interface Member extends Process {
  readonly parent: number;
  /** An inner jobbus-run, which needs its time to end its own session. */
  readonly isWrapper: boolean;
}

export interface Members {
  readonly members: readonly Member[];
  /** Processes of this user that hide their environment, and of which only `known` can tell. */
  readonly hidden: readonly number[];
}

export interface JobMembership {
  /** `NAME=value` entries with the scheduler's job id, sorted. */
  readonly identity: readonly string[];
  /** The job's part of the cgroup path, where the scheduler makes one. */
  readonly cgroup: string | undefined;
}

/** Set for our own helpers, which end by themselves. */
export const HELPER_MARK = 'JOBBUS_HELPER=1';

/** Set by the launcher for jobbus-run itself; the command and the bus do not have it. */
export const LAUNCHER_VARIABLE = 'JOBBUS_LAUNCHER';

const JOB_VARIABLES = ['SLURM_JOB_ID', 'PBS_JOBID', 'LSB_JOBID', 'FLUX_JOB_ID'];

/** Grid Engine's name for a job is anybody's; it counts in the company of another name of Grid Engine's. */
const GRID_ENGINE = {job: 'JOB_ID', company: 'SGE_'};

/** Milliseconds. Who ends at a TERM mostly does so within one. */
const POLL_INTERVAL = 1;
const SLOW_POLL_INTERVAL = 10;

/** Nothing hides from root; what it cannot read are the kernel's own threads. */
const ROOT = 0;

const buffer = Buffer.allocUnsafe(65_536);

/** The file's bytes; undefined when it cannot be read. */
export function readProc(path: string): Buffer | undefined {
  let descriptor;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return undefined;
  }

  try {
    return readToEnd(descriptor);
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** A short read is not the end: of /proc/net/unix, the kernel gives a page at a time. */
function readToEnd(descriptor: number): Buffer {
  const chunks: Buffer[] = [];
  for (let length = readSync(descriptor, buffer); length > 0; length = readSync(descriptor, buffer)) {
    chunks.push(Buffer.from(buffer.subarray(0, length)));
  }

  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

/** The quickest that Node can; what is not UTF-8 in it does not matter. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export function statusOf(pid: number): ProcessStatus | undefined {
  const fields = statFields(`/proc/${pid}`);
  if (fields === undefined || fields.length < 20) {
    return undefined;
  }

  return {
    pid,
    state: fields[0]!,
    isOver: isZombie(fields[0]!) && Number(fields[17]) <= 1,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTime: fields[19]!,
  };
}

/**
 * The fields of proc(5)'s stat from the third on; the name before them, in parentheses, may itself hold parentheses and spaces.
 *
 * @param entry a process's or a thread's
 */
function statFields(entry: string): readonly string[] | undefined {
  const stat = readText(`${entry}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function isZombie(state: string): boolean {
  return /[ZX]/.test(state);
}

export function isAlive(process: Process): boolean {
  const status = statusOf(process.pid);
  return status?.startTime === process.startTime && !status.isOver;
}

/** Whether it is in our process group. */
export function sharesGroup(pid: number): boolean {
  return statusOf(pid)?.group === statusOf(process.pid)!.group;
}

/** @returns false when it was gone already */
export function signalProcess(target: Process, signal: NodeJS.Signals): boolean {
  if (!isAlive(target)) {
    return false;
  }

  try {
    return process.kill(target.pid, signal);
  } catch {
    return false;
  }
}

/** @returns whether it was gone within the time, in milliseconds */
export async function waitUntilGone(target: Process, time: number): Promise<boolean> {
  return waitUntil(() => !isAlive(target), time);
}

/** Asks again and again, soon often and later less so. @returns whether it came true within the time, in milliseconds */
export async function waitUntil(condition: () => boolean, time: number, leastLooks = 1): Promise<boolean> {
  let interval = POLL_INTERVAL;
  const deadline = now() + time;
  for (let looks = 1; !condition(); looks++) {
    if (now() >= deadline && looks >= leastLooks) {
      return false;
    }

    await new Promise(resolve => setTimeout(resolve, interval));
    interval = Math.min(2 * interval, SLOW_POLL_INTERVAL);
  }

  return true;
}

/** Whether it is one of our helpers, in the session that these marks tell. */
export function isHelperIn(marks: readonly string[], {pid}: Process): boolean {
  const environ = environmentOf(pid);
  return environ !== undefined && hasEntry(environ, HELPER_MARK) && marks.some(mark => bears(environ, mark));
}

/** Whether a process with this environment is one of ours: see {@link HELPER_MARK}. */
export function isHelper(environment: Readonly<Record<string, string>>): boolean {
  return Object.entries(environment).some(entry => entry.join('=') === HELPER_MARK);
}

/** The job of a process with this environment beside us. */
export function ownJob(environment: Readonly<Record<string, string>>): JobMembership {
  return jobMembership(Object.entries(environment).map(entry => entry.join('=')), readProc('/proc/self/cgroup')?.toString() ?? '');
}

/** The scheduler's job, as the entries of an environment and the text of /proc/PID/cgroup tell it. */
function jobMembership(environment: readonly string[], cgroups: string): JobMembership {
  const names = environment.some(entry => entry.startsWith(GRID_ENGINE.company)) ? [...JOB_VARIABLES, GRID_ENGINE.job] : JOB_VARIABLES;
  return {
    identity: environment.filter(entry => names.includes(entry.slice(0, entry.indexOf('=')))).sort(),
    cgroup: /(?:^|[:/])(job_\d+)(?=\/|$)/m.exec(cgroups)?.[1],
  };
}

/**
 * The session's processes that are alive, with their descendants, except for the daemon, our helpers and ourselves.
 *
 * An inner jobbus-run belongs, and what it runs does not: it ends that by itself when it is ended.
 */
export function findProcesses(belonging: Belonging): Members {
  const candidates = new Map<number, Candidate>();
  const hidden: number[] = [];
  for (const status of ownProcesses(Number(belonging.since ?? 0), belonging.after)) {
    const {pid} = status;
    if (belonging.spared?.includes(pid)) {
      continue;
    }

    const environ = environmentOf(pid);
    candidates.set(pid, {...status, ...standingOf(pid, environ, belonging)});
    if (environ === undefined && process.getuid!() !== ROOT) {
      hidden.push(pid);
    }
  }

  const verdicts = new Map<number, boolean>();
  const belongs = (pid: number): boolean => {
    const candidate = candidates.get(pid);
    if (candidate === undefined) {
      return false;
    }

    let verdict = verdicts.get(pid);
    if (verdict === undefined) {
      verdicts.set(pid, false);
      const parent = candidates.get(candidate.parent);
      const inherits = parent !== undefined && parent.standing !== 'wrapper' && (isDaemon(parent, belonging) || belongs(parent.pid));
      verdict = (candidate.standing === 'unknown' ? inherits : isMember(candidate, candidates)) && !isAnothers(pid);
      verdicts.set(pid, verdict);
    }

    return verdict;
  };

  const members = [...candidates.values()].filter(candidate => !isDaemon(candidate, belonging) && belongs(candidate.pid));
  return {members: members.map(({pid, startTime, parent, standing}) => ({pid, startTime, parent, isWrapper: standing === 'wrapper'})), hidden};
}

/** Whether it is alive and bears the mark of a session: a pid and a start time may be of another boot or pid namespace. */
export function isMarked({pid, startTime}: Process, marks: readonly string[]): boolean {
  return isAlive({pid, startTime}) && userOf(pid) === process.getuid!() && /member|wrapper/.test(standingOf(pid, environmentOf(pid), {marks}).standing);
}

function isDaemon(candidate: Process, {daemon}: Belonging): boolean {
  return candidate.pid === daemon?.pid && candidate.startTime === daemon.startTime;
}

/** @returns undefined when it may not be read */
function environmentOf(pid: number): string | undefined {
  const environment = environmentAt(`/proc/${pid}`);
  return environment || (otherThreads(pid).map(environmentAt).find(Boolean) ?? environment);
}

/** The entries of those that are left where the main thread has ended; none where it has not. */
function otherThreads(pid: number): readonly string[] {
  const status = statusOf(pid);
  if (status === undefined || status.isOver || !isZombie(status.state)) {
    return [];
  }

  try {
    return readdirSync(`/proc/${pid}/task`).filter(name => Number(name) !== pid).map(name => `/proc/${pid}/task/${name}`);
  } catch {
    return []; // It has ended meanwhile.
  }
}

/**
 * In the midst of execve a process has no environment, and one that was opened before and is read behind it is empty. Who has
 * none for several looks, without executing, has none.
 *
 * @param entry a process's or a thread's
 */
function environmentAt(entry: string): string | undefined {
  let calmLooks = 0;
  for (let looks = 1; ; looks++) {
    const environment = readText(`${entry}/environ`);
    const isExecuting = environment?.length === 0 && executes(entry);
    calmLooks += isExecuting ? 0 : 1;
    if (environment?.length !== 0 || calmLooks === CALM_LOOKS || looks === MOST_LOOKS) {
      return environment;
    }

    if (isExecuting) {
      pause();
    }
  }
}

const CALM_LOOKS = 3;

/** A millisecond each: on a busy machine, who executes may have to wait for a processor in the midst of it. */
const MOST_LOOKS = 50;

/** By the end of its environment, field 51 of proc(5)'s stat; it is 0 for the kernel's threads and the dead, too. */
function executes(entry: string): boolean {
  const fields = statFields(entry);
  return fields?.[48] === '0' && (Number(fields[6]) & KERNEL_THREAD) === 0 && !isZombie(fields[0]!);
}

/** PF_KTHREAD, in field 9. */
const KERNEL_THREAD = 0x20_0000;

interface Standing {
  /** `wrapper`: an inner jobbus-run; `unknown`: as its parent. */
  readonly standing: 'member' | 'wrapper' | 'stranger' | 'unknown';
  /** It does not name the session's job: it may have forgotten that, or be another job's that has forgotten its own. */
  readonly isJobless?: boolean;
}

type Candidate = ProcessStatus & Standing;

/** Scripts unset what the scheduler has set, before an mpirun, say; what they then start is the job's whose process has started it. */
function isMember(candidate: Candidate, candidates: ReadonlyMap<number, Candidate>): boolean {
  const seen = new Set<Candidate>();
  let known: Candidate | undefined = candidate;
  while (known !== undefined && (known.isJobless === true || known.standing === 'unknown') && !seen.has(known)) {
    seen.add(known);
    known = candidates.get(known.parent);
  }

  return known?.standing !== 'stranger';
}

function standingOf(pid: number, environ: string | undefined, belonging: Belonging): Standing {
  const marked = environ !== undefined && belonging.marks.some(mark => bears(environ, mark));
  if (!marked && belonging.known?.includes(pid) !== true) {
    return {standing: 'unknown'};
  }

  const entries = environ?.split('\0') ?? [];
  const job = jobMembership(entries, readProc(`/proc/${pid}/cgroup`)?.toString('latin1') ?? '');
  if (entries.includes(HELPER_MARK) || isAnotherJob(job, belonging.job, marked)) {
    return {standing: 'stranger'};
  }

  return {
    standing: entries.some(entry => entry.startsWith(`${LAUNCHER_VARIABLE}=`)) ? 'wrapper' : 'member',
    isJobless: marked && job.identity.length === 0 && belonging.job !== undefined && belonging.job.identity.length > 0,
  };
}

/** A job that was submitted from inside a session carries the session's variables, and is not the session's. */
function isAnotherJob(theirs: JobMembership, ours: JobMembership | undefined, environmentKnown: boolean): boolean {
  if (ours === undefined) {
    return false;
  }

  const hasOtherNames = environmentKnown && !theirs.identity.every(entry => ours.identity.includes(entry));
  return hasOtherNames || (ours.cgroup !== undefined && theirs.cgroup !== ours.cgroup);
}

/** The address that dbus-daemon gives to a service goes on, behind a comma, with the bus's id. */
function bears(environ: string, mark: string): boolean {
  return environ.includes(mark) && (hasEntry(environ, mark) || environ.startsWith(`${mark},guid=`) || environ.includes(`\0${mark},guid=`));
}

function hasEntry(environ: string, entry: string): boolean {
  return environ.startsWith(`${entry}\0`) || environ.includes(`\0${entry}\0`);
}

/**
 * What runs of this user's, but for ourselves; the cheapest question first, for there may be thousands of processes.
 *
 * @param since in clock ticks since boot
 * @param after as of {@link Belonging}
 */
function* ownProcesses(since: number, after: number | undefined): Generator<ProcessStatus> {
  const user = process.getuid!();
  for (const pid of after === undefined ? allPids() : pidsAfter(after)) {
    const status = pid !== process.pid && (user === ROOT || mayBelongTo(user, pid)) ? statusOf(pid) : undefined;
    if (status !== undefined && !status.isOver && Number(status.startTime) >= since && seemsOwn(user, pid)) {
      yield status;
    }
  }
}

function allPids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** The kernel gives pids in ascending order, and then begins anew. */
function pidsAfter(after: number): number[] {
  const newest = newestPid();
  return newest === after ? [] : allPids().filter(pid => newest === undefined || pid > after || (newest < after && pid <= newest));
}

/**
 * The pid that was given last, to a process or a thread. Of /proc/loadavg, where its kernel is not one that makes it up.
 *
 * @returns undefined when nobody knows
 */
export function newestPid(): number | undefined {
  const newest = Number(/(\d+)\n$/.exec(readText('/proc/loadavg') ?? '')?.[1]);
  return newest > 0 ? newest : undefined;
}

/** Of its entry in /proc: root, for a process that hides its environment. For root itself this would sort out few. */
function mayBelongTo(user: number, pid: number): boolean {
  const owner = apparentOwner(pid);
  return owner === user || owner === ROOT;
}

/** Before its environment is read, which waits for whatever holds the memory of the process. */
function seemsOwn(user: number, pid: number): boolean {
  return apparentOwner(pid) === user || (user !== ROOT && userOf(pid) === user);
}

function apparentOwner(pid: number): number | undefined {
  return statSync(`/proc/${pid}`, {throwIfNoEntry: false})?.uid;
}

/** What has ended meanwhile is nobody's; its children may be ours. */
function isAnothers(pid: number): boolean {
  const user = userOf(pid);
  return !Number.isNaN(user) && user !== process.getuid!();
}

function userOf(pid: number): number {
  return Number(/^Uid:\t(\d+)/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1]);
}

/**
 * Ends what `find` finds, and what it finds then: TERM to each once, then, when the time is over, KILL.
 *
 * What a process starts after its TERM is how it saves its work, the cp in a shell's trap: it gets none while its parent lives.
 *
 * @param grace milliseconds between TERM and KILL
 * @returns the processes that survived KILL, such as those in an uninterruptible sleep
 */
export async function endProcesses(find: () => readonly Member[], grace: number): Promise<readonly Process[]> {
  const asked = new Map<number, string>();
  const seen = new Map<number, Member>();
  // What bears no mark is found by its parent, which may end before it.
  const look = (): readonly Member[] => {
    find().forEach(member => seen.set(member.pid, member));
    return [...seen.values()].filter(isAlive);
  };
  const noneAfterTerm = await waitUntil(() => {
    const found = look();
    const saving = new Set(found.filter(({pid, startTime}) => asked.get(pid) === startTime).map(({pid}) => pid));
    for (const target of found.filter(({pid, parent}) => !saving.has(pid) && !saving.has(parent))) {
      asked.set(target.pid, target.startTime);
      signalProcess(target, 'SIGTERM');
      signalProcess(target, 'SIGCONT'); // A stopped process acts on TERM only once it runs.
    }

    return found.length === 0;
  }, grace);
  if (noneAfterTerm) {
    return [];
  }

  const killTime = now();
  let found = look();
  const isOver = (): boolean => {
    found = look();
    const patience = now() - killTime < WRAPPER_TIME;
    for (const target of found.filter(({isWrapper}) => !isWrapper || !patience)) {
      signalProcess(target, 'SIGKILL');
    }

    return found.length === 0;
  };
  await waitUntil(isOver, found.some(({isWrapper}) => isWrapper) ? WRAPPER_TIME + KILL_TIME : KILL_TIME, KILL_LOOKS);
  return found;
}

/** Milliseconds for KILL to take effect. */
const KILL_TIME = 1500;

/** However long they take: where all wait for a processor, one look at /proc may take all the time, and the KILL came with it. */
const KILL_LOOKS = 20;

/** Milliseconds that an inner jobbus-run gets beyond the others, to end what it has started with a KILL of its own. */
const WRAPPER_TIME = 1500;
