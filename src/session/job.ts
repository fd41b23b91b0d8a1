/**
 * The scheduler's job: which one a session runs in, and whether a process is another one's.
 *
 * A job that was submitted from inside a session carries the session's variables along, and is not the session's.
 */

import {readProc} from '../system/processes.js';

export interface JobMembership {
  /** `NAME=value` entries with the scheduler's job id, sorted. */
  readonly identity: readonly string[];
  /** The job's part of the cgroup path, where the scheduler makes one. */
  readonly cgroup: string | undefined;
}

/** What is known of a session's job: what its record tells; or, where that is gone, the word with which its name begins. */
export type SessionJob = JobMembership | string;

/** The first that is there gives a session its word. */
const JOB_VARIABLES = ['SLURM_JOB_ID', 'PBS_JOBID', 'LSB_JOBID', 'FLUX_JOB_ID'];

/** HTCondor numbers its jobs for the submitter alone; on the node, each has a directory of its own, whose name the starter makes of its pid. In 25.14, the job has a part of it. */
const CONDOR_JOB = /^_CONDOR_SCRATCH_DIR=.*\/(dir_\d+)(?:\/scratch)?$/;

/** Grid Engine's name for a job is anybody's; it counts in the company of another name of Grid Engine's. */
export const GRID_ENGINE = {job: 'JOB_ID', company: 'SGE_'};

const LONGEST_WORD = 20;
const NO_JOB = 'nojob';

/** The job of a process with this environment beside us. */
export function ownJob(environment: Readonly<Record<string, string>>): JobMembership {
  return jobMembership(Object.entries(environment).map(entry => entry.join('=')), readProc('/proc/self/cgroup')?.toString() ?? '');
}

/** The scheduler's job, as the entries of an environment and the text of /proc/PID/cgroup tell it. */
export function jobMembership(environment: readonly string[], cgroups: string): JobMembership {
  const names = environment.some(entry => entry.startsWith(GRID_ENGINE.company)) ? [...JOB_VARIABLES, GRID_ENGINE.job] : JOB_VARIABLES;
  return {
    identity: environment.filter(entry => names.includes(nameOf(entry)) || CONDOR_JOB.test(entry)).sort(),
    cgroup: /(?:^|[:/])(job_\d+)(?=\/|$)/m.exec(cgroups)?.[1],
  };
}

/** The job's id, as it is listed. */
export function listedJob({identity}: JobMembership): string | undefined {
  return identity.map(jobCalled)[0];
}

/** What the names of the job's sessions begin with: letters and digits. */
export function jobWord(job: JobMembership): string {
  const names = [...JOB_VARIABLES, GRID_ENGINE.job];
  const rank = (entry: string): number => names.indexOf(nameOf(entry));
  const named = job.identity.filter(entry => rank(entry) !== -1).sort((one, other) => rank(one) - rank(other));
  return [...named, ...job.identity.filter(entry => CONDOR_JOB.test(entry)), ...cgroupOf(job)].map(wordOf).find(word => word !== NO_JOB) ?? NO_JOB;
}

/** @param environmentKnown without it, nobody knows whether the process names a job */
export function isAnotherJob(theirs: JobMembership, ours: SessionJob, environmentKnown: boolean): boolean {
  const named = environmentKnown ? theirs.identity : [];
  if (typeof ours === 'string') {
    return [...named, ...cgroupOf(theirs)].some(name => wordOf(name) !== ours);
  }

  // In a container, a session may not have seen the cgroup in which others see it.
  const isInOthersCgroup = ours.cgroup === undefined ? cgroupOf(theirs).some(name => wordOf(name) !== jobWord(ours)) : theirs.cgroup !== ours.cgroup;
  return isInOthersCgroup || !named.every(entry => ours.identity.includes(entry));
}

function cgroupOf({cgroup}: JobMembership): readonly string[] {
  return cgroup === undefined ? [] : [cgroup];
}

function nameOf(entry: string): string {
  return entry.slice(0, entry.indexOf('='));
}

/** How people call the job of an entry of {@link JobMembership.identity}. */
export function jobCalled(entry: string): string {
  return CONDOR_JOB.exec(entry)?.[1] ?? entry.replace(/^[^=]*=/, '');
}

/** Of `SLURM_JOB_ID=7` or `job_7`. */
function wordOf(name: string): string {
  return (name.includes('=') ? jobCalled(name) : name.replace(/^job_/, '')).replace(/\W/g, '').slice(0, LONGEST_WORD) || NO_JOB;
}
