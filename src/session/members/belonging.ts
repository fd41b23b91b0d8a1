/** Which processes belong to a session. */

import {readdirSync, statSync} from 'node:fs';
import {isAnotherJob, jobMembership, type SessionJob} from '../job.js';
import {keptDirectory} from '../frame.js';
import {holdsLock} from '../lock-table.js';
import {environmentOf, LAUNCHER_VARIABLE} from '../../system/process-environment.js';
import type {Member} from './members.js';
import {isAlive, isUnseen, readProc, readText, statusOf, type Process, type ProcessStatus} from '../../system/processes.js';

/** What ties a process to a session, and what unties it. */
interface Belonging {
  /** `NAME=value` entries of an environment, one of which is enough. */
  readonly marks: readonly string[];
  /** The daemon: its descendants belong, it does not; the bus is to answer to the end. */
  readonly daemon?: Process | undefined;
  /** Processes known in other ways to belong, such as owners of the bus's connections; /proc may not show them. */
  readonly known?: readonly number[];
  /** The scheduler's job in which the session runs. Undefined: nothing is another job's. */
  readonly job?: SessionJob | undefined;
  /** These are left alone, whatever they bear: who waits for us to end the session. */
  readonly spared?: readonly number[];
}

interface Members {
  readonly members: ReadonlyArray<Omit<Member, 'name'>>;
  /** Processes of this user that hide their environment, and of which only `known` can tell. */
  readonly hidden: readonly number[];
}

/** Nothing hides from root; what it cannot read are the kernel's own threads. */
const ROOT = 0;

/**
 * The session's processes that are alive, with their descendants, except for the daemon and ourselves.
 *
 * An inner jobbus-run belongs, and what it runs does not, whatever that bears: it ends that by itself when it is ended.
 */
export function findProcesses(belonging: Belonging): Members {
  const candidates = new Map<number, Candidate>();
  const hidden: number[] = [];
  for (const status of ownProcesses()) {
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
    if (candidate === undefined || verdicts.has(pid)) {
      return verdicts.get(pid) ?? false;
    }

    verdicts.set(pid, false);
    const parent = candidates.get(candidate.parent);
    const inherits = parent !== undefined && (isDaemon(parent, belonging) || belongs(parent.pid));
    const belongsItself = candidate.standing === 'unknown' ? inherits : isMember(candidate, candidates);
    const verdict = belongsItself && parent?.standing !== 'wrapper' && !isAnothers(pid);
    verdicts.set(pid, verdict);
    return verdict;
  };

  const members = [...candidates.values()].filter(candidate => !isDaemon(candidate, belonging) && belongs(candidate.pid));
  return {members: [...members.map(({pid, startTime, parent, standing}) => ({pid, startTime, parent, isWrapper: standing === 'wrapper'})), ...unseen(belonging)], hidden};
}

/** Without a start time: should /proc show the pid later on, it is another process's. */
function unseen({known = [], spared = []}: Belonging): Members['members'] {
  return known.filter(pid => !spared.includes(pid) && isUnseen(pid)).map(pid => ({pid, startTime: '', parent: 0, isWrapper: false}));
}

/** Whether it is alive and bears the mark of a session: a pid and a start time may be of another boot or pid namespace. */
export function isMarked({pid, startTime}: Process, marks: readonly string[]): boolean {
  return isAlive({pid, startTime}) && userOf(pid) === process.getuid!() && /member|wrapper/.test(standingOf(pid, environmentOf(pid), {marks}).standing);
}

/** In one look at all processes of this user's: of many sessions, most have left none. @returns whether any of them bears one of the marks */
export function findBorne(): (marks: readonly string[]) => boolean {
  const borne = new Set<string>();
  for (const {pid} of ownProcesses()) {
    const entries = environmentOf(pid)?.split('\0') ?? [];
    entries.filter(entry => MARK.test(entry)).forEach(entry => borne.add(entry.replace(/,guid=.*/s, '')));
  }

  return marks => marks.some(mark => borne.has(mark));
}

/** As {@link bears} tells one. */
const MARK = /^(?:XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)=/;

/** Whether any other process of this user's that shows its environment has the text in it: our helpers, and other jobs', too. */
export function isMentioned(text: string): boolean {
  for (const {pid} of ownProcesses()) {
    if (environmentOf(pid)?.includes(text) === true) {
      return true;
    }
  }

  return false;
}

function isDaemon(candidate: Process, {daemon}: Belonging): boolean {
  return candidate.pid === daemon?.pid && candidate.startTime === daemon.startTime;
}

interface Standing {
  /** `wrapper`: an inner jobbus-run; `unknown`: as its parent. */
  readonly standing: 'member' | 'wrapper' | 'stranger' | 'unknown';
  /** It names no job: it may have forgotten that, or be another job's that has forgotten its own. */
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
  const marked = environ !== undefined && isMarkedBy(environ, belonging.marks);
  if (!marked && belonging.known?.includes(pid) !== true) {
    return {standing: 'unknown'};
  }

  const entries = environ?.split('\0') ?? [];
  const job = jobMembership(entries, readProc(`/proc/${pid}/cgroup`)?.toString('latin1') ?? '');
  // It has its daemon's environment, and ends by itself.
  const isKeeper = belonging.marks.includes(`XDG_RUNTIME_DIR=${keptDirectory(pid) ?? ''}`);
  if (isKeeper || (belonging.job !== undefined && isAnotherJob(job, belonging.job, environ !== undefined))) {
    return {standing: 'stranger'};
  }

  // The variable is anybody's to set, and saves a look at the open files of all others.
  const isWrapper = entries.some(entry => entry.startsWith(`${LAUNCHER_VARIABLE}=`)) && holdsLock(pid);
  return {standing: isWrapper ? 'wrapper' : 'member', isJobless: marked && job.identity.length === 0};
}

/** Who has the runtime directory alone may be of an inner session with `--bus-only`, which has an end of its own. */
function isMarkedBy(environ: string, marks: readonly string[]): boolean {
  const borne = marks.filter(mark => bears(environ, mark));
  return borne.some(mark => mark.startsWith('DBUS')) || (borne.length > 0 && !SESSION_BUS.test(environ));
}

/** A session's bus, as bus-plan.ts makes its address. */
const SESSION_BUS = /(?:^|\0)DBUS_SESSION_BUS_ADDRESS=unix:(?:path=[^\0]*\/jobbus-\d[^/\0]*\/[^/\0]*\/bus|abstract=jobbus-run-bus\/)/;

/** The address that dbus-daemon gives to a service goes on, behind a comma, with the bus's id. */
function bears(environ: string, mark: string): boolean {
  return environ.includes(mark) && ['\0', ',guid='].some(end => `\0${environ}`.includes(`\0${mark}${end}`));
}

/** What runs of this user's, but for ourselves; the cheapest question first, for there may be thousands of processes. */
function* ownProcesses(): Generator<ProcessStatus> {
  const user = process.getuid!();
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    // Root's is the entry of a process that hides its environment, too.
    const owner = statSync(`/proc/${pid}`, {throwIfNoEntry: false})?.uid;
    const status = pid !== process.pid && (owner === user || owner === ROOT) ? statusOf(pid) : undefined;
    // Before its environment is read, which waits for whatever holds the memory of the process.
    if (status !== undefined && !status.isOver && (owner === user || userOf(pid) === user)) {
      yield status;
    }
  }
}

/** What has ended meanwhile is nobody's; its children may be ours. */
function isAnothers(pid: number): boolean {
  const user = userOf(pid);
  return !Number.isNaN(user) && user !== process.getuid!();
}

function userOf(pid: number): number {
  return Number(/^Uid:\t(\d+)/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1]);
}
