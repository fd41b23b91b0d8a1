/** A job that was submitted from inside a session has the session's variables, and is not the session's. */

import {existsSync} from 'node:fs';
import {test, useBench, withFault, type Bench} from './helpers/jobbus.js';
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

test('at the end of its session it lives', async t => {
  t.like(await t.context.run(['--', ...ENDS], {environment: {SLURM_JOB_ID: '7'}}), {code: 0, stderr: ''});
  await otherJobAloneIsLeft(t.context);
  t.pass();
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
