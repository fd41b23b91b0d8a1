/** A job that was submitted from inside a session has the session's variables, and is not the session's. */

import {existsSync} from 'node:fs';
import {LEFT_RUNNING, test, useBench, withFault, type Bench} from './helpers/jobbus.js';
import {environmentOf, eventually, isRunning, processesWith} from './helpers/processes.js';
import {deadSession, kill} from './helpers/sessions.js';

useBench();

/** Leaves a process of job 8 and one of job 7, says "ready" and waits; ends, with a word. */
const COMMAND = `for job in 8 7; do SLURM_JOB_ID=$job setsid tail -f /dev/null </dev/null >/dev/null 2>&1 & done
  until [ "$(ps -o sess= -p $! | tr -d ' ')" = $! ]; do :; done; echo ready; [ $# = 1 ] || exec tail -f /dev/null`;

const WAITS = ['sh', '-c', COMMAND];
const ENDS = [...WAITS, 'sh', 'ends'];

const SESSION_JOBS: ReadonlyArray<[what: string, environment: Record<string, string>]> = [
  ['of job 7', {SLURM_JOB_ID: '7'}],
  ['of no job', {}],
];

/** By the names of each scheduler, the session's job and another. */
const SCHEDULERS: Readonly<Record<string, readonly [ours: string, theirs: string]>> = {
  PBS: ['PBS_JOBID=7.server', 'PBS_JOBID=8.server'],
  LSF: ['LSB_JOBID=7', 'LSB_JOBID=8'],
  Flux: ['FLUX_JOB_ID=f7', 'FLUX_JOB_ID=f8'],
  'Grid Engine': ['JOB_ID=7', 'JOB_ID=8'],
  HTCondor: ['_CONDOR_SCRATCH_DIR=/execute/dir_7', '_CONDOR_SCRATCH_DIR=/execute/dir_8'],
};

for (const [scheduler, [ours, theirs]] of Object.entries(SCHEDULERS)) {
  test(`at the end of a session in a job of ${scheduler}, a job that was submitted from inside lives, and the session names its own`, async t => {
    const script = `env ${theirs} setsid tail -f /dev/null </dev/null >/dev/null 2>&1 &
      until [ "$(ps -o sess= -p $! | tr -d ' ')" = $! ]; do :; done
      setsid tail -f /dev/null </dev/null >/dev/null 2>&1 &
      basename "$XDG_RUNTIME_DIR"`;
    const [name, value] = ours.split('=') as [string, string];
    const {code, stdout} = await t.context.run(['--', 'sh', '-c', script], {environment: {[name]: value, SGE_CELL: 'default'}});
    t.is(code, 0);
    t.regex(stdout, new RegExp(`^${value.replace(/.*\//, '').replace('.', '')}-`));
    const left = processesWith(t.context.mark);
    t.deepEqual(left.map(({pid}) => environmentOf(pid).includes(theirs)), [true]);
    left.forEach(({pid}) => kill(pid));
  });
}

test('at the end of its session it lives', async t => {
  const {code, stderr} = await t.context.run(['--', ...ENDS], {environment: {SLURM_JOB_ID: '7'}});
  await otherJobAloneIsLeft(t.context);
  t.is(code, 0);
  t.regex(stderr, LEFT_RUNNING);
});

for (const [what, environment] of SESSION_JOBS) {
  test(`after kill -9 of a session ${what} it lives`, async t => {
    const run = t.context.start(['--', ...WAITS], {environment});
    await run.line(/^ready$/);
    kill(run.pid);
    await otherJobAloneIsLeft(t.context, Object.keys(environment).length === 0);
    t.pass();
  });

  test(`after the sweep of a session ${what} it lives`, async t => {
    const directory = await deadSession(t.context, WAITS, {environment});
    t.regex((await t.context.run(['--sweep'])).stdout, /; removed\n/);
    t.false(existsSync(directory));
    await otherJobAloneIsLeft(t.context, Object.keys(environment).length === 0);
  });
}

for (const [what, environment] of SESSION_JOBS) {
  test(`after the sweep of a session ${what} that has lost its record it lives`, async t => {
    const directory = await deadSession(t.context, ['sh', '-c', `rm "$XDG_RUNTIME_DIR"/*; ${COMMAND}`], {environment});
    t.regex((await t.context.run(['--sweep'])).stdout, /: dead \(its lock is free, and it has no record\); removed\n$/);
    t.false(existsSync(directory));
    await otherJobAloneIsLeft(t.context, Object.keys(environment).length === 0);
  });
}

// Before the record goes, and after.
for (const step of [1, 2, 3, 4]) {
  test(`after kill -9 before the ${step}. removal of a directory it lives`, async t => {
    const {program, words} = withFault(`rmdir:signal=KILL:when=${step}`, ['--', ...ENDS]);
    t.is((await t.context.run(words, {program, environment: {SLURM_JOB_ID: '7'}})).signal, 'SIGKILL');
    await otherJobAloneIsLeft(t.context);
  });
}

/** Waits until all the rest is gone, the process of the session's own job with it; ends the other job, or throws. */
async function otherJobAloneIsLeft(bench: Bench, hasNoJob = false): Promise<void> {
  const others = await eventually('all but the other job to go', () => {
    const left = processesWith(bench.mark);
    return left.length <= (hasNoJob ? 2 : 1) && bench.sessions().length === 0 && left;
  });
  const jobs = others.filter(({pid}) => isRunning(pid)).map(({pid}) => environmentOf(pid).find(entry => entry.startsWith('SLURM_JOB_ID=')));
  others.forEach(({pid}) => kill(pid));
  if (!jobs.includes('SLURM_JOB_ID=8')) {
    throw new Error(`Left of jobs: ${jobs.join(', ')}`);
  }
}
