/** Which job a session is of, and which processes are another job's. */

import test from 'ava';
import {isAnotherJob, jobMembership, jobWord, type SessionJob} from '../src/session/job.js';

const SESSION = {identity: ['SLURM_JOB_ID=7'], cgroup: 'job_7'};
const CGROUP = (job: number): string => `0::/system.slice/slurmstepd.scope/job_${job}/step_0/user/task_0\n`;

const PROCESSES: ReadonlyArray<[what: string, environment: readonly string[], cgroups: string, ours: SessionJob, isAnothers: boolean]> = [
  ['the same job', ['SLURM_JOB_ID=7'], CGROUP(7), SESSION, false],
  ['the same job, and one more name', ['FLUX_JOB_ID=f7', 'SLURM_JOB_ID=7'], CGROUP(7), SESSION, true],
  ['no name in the same cgroup', [], CGROUP(7), SESSION, false],
  ['no name in no cgroup', [], '', SESSION, true],
  ['another cgroup', ['SLURM_JOB_ID=7'], CGROUP(8), SESSION, true],
  ['a name, where the session has none', ['SLURM_JOB_ID=7'], '', {identity: [], cgroup: undefined}, true],
  ['a cgroup, where the session has no job', [], CGROUP(7), {identity: [], cgroup: undefined}, true],
  ['a cgroup that a session in a container did not see', ['SLURM_JOB_ID=7'], CGROUP(7), {identity: ['SLURM_JOB_ID=7'], cgroup: undefined}, false],
  ['no name, beside a session without a record', [], '', '7', false],
  ['the number of its name, whichever scheduler has given it', ['LSB_JOBID=7'], '', '7', false],
  ['the number of its name, as far as a name can tell', ['PBS_JOBID=7[2].server.example.org'], '', '72serverexampleorg', false],
  ['the number of its name in the cgroup', [], CGROUP(7), '7', false],
  ['another number', ['SLURM_JOB_ID=8'], '', '7', true],
  ['another number beside the same', ['SLURM_JOB_ID=7', 'PBS_JOBID=8'], '', '7', true],
  ['another number in the cgroup', ['SLURM_JOB_ID=7'], CGROUP(8), '7', true],
  ['a name, beside a session without job and record', ['FLUX_JOB_ID=f8'], '', 'nojob', true],
  ['a cgroup, beside a session without job and record', [], CGROUP(8), 'nojob', true],
  ['nothing, beside a session without job and record', ['A=1'], '', 'nojob', false],
  ['a number that only Grid Engine would give', ['JOB_ID=8', 'SGE_TASK_ID=1'], '', '7', true],
  ["HTCondor's directory for another job", ['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_8'], '', {identity: ['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_7'], cgroup: undefined}, true],
  ["HTCondor's directory for the same job", ['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_7'], '', {identity: ['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_7'], cgroup: undefined}, false],
  ["HTCondor 25.14's directory for another job", ['_CONDOR_SCRATCH_DIR=/execute/dir_8/scratch'], '', {identity: ['_CONDOR_SCRATCH_DIR=/execute/dir_7/scratch'], cgroup: undefined}, true],
  ["HTCondor's directory as a container has it", ['_CONDOR_SCRATCH_DIR=/srv'], '', {identity: ['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_7'], cgroup: undefined}, false],
  ["HTCondor's directory, beside a session of its name", ['_CONDOR_SCRATCH_DIR=/scratch/dir_7'], '', 'dir_7', false],
  ["HTCondor's directory, beside a session of another name", ['_CONDOR_SCRATCH_DIR=/scratch/dir_8'], '', 'dir_7', true],
  ['what only looks like Grid Engine', ['JOB_ID=8'], '', '7', false],
];

for (const [what, environment, cgroups, ours, isAnothers] of PROCESSES) {
  test(`a process with ${what} is ${isAnothers ? "another job's" : "the session's job's"}`, t => {
    t.is(isAnotherJob(jobMembership(environment, cgroups), ours, true), isAnothers);
  });
}

test('where a process hides its names, its cgroup tells', t => {
  t.deepEqual([7, 8].map(job => isAnotherJob(jobMembership([], CGROUP(job)), SESSION, false)), [false, true]);
});

for (const [environment, cgroups, word] of [
  [['SLURM_JOB_ID=7'], '', '7'],
  [['FLUX_JOB_ID=f23ab', 'SLURM_JOB_ID=7'], '', '7'],
  [['PBS_JOBID=12[3].server'], '', '123server'],
  [['LSB_JOBID=../x'], '', 'x'],
  [['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_4711', '_CONDOR_SLOT=slot1'], '', 'dir_4711'],
  [['_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_4711/scratch'], '', 'dir_4711'],
  [['_CONDOR_SCRATCH_DIR=/srv'], '', 'nojob'],
  [['SLURM_JOB_ID=7', '_CONDOR_SCRATCH_DIR=/var/lib/condor/execute/dir_4711'], '', '7'],
  [[`LSB_JOBID=${'1'.repeat(30)}`], '', '1'.repeat(20)],
  [['SLURM_JOB_ID='], CGROUP(9), '9'],
  [[], CGROUP(9), '9'],
  [[], '', 'nojob'],
] as const) {
  test(`the sessions of ${environment.join(' ') || 'no name'} in ${cgroups === '' ? 'no cgroup' : 'a cgroup'} begin with ${word}`, t => {
    t.is(jobWord(jobMembership(environment, cgroups)), word);
  });
}
