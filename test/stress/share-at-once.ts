/**
 * TASKS (128) with `--share` at once, ROUNDS (1000) times: in each round all must be in one session, and nothing may be left. Run it as
 * `node build/test/stress/share-at-once.js [ROUNDS [TASKS]]`.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {binary} from '../helpers/ground.js';
import {eventually, processesWith} from '../helpers/processes.js';

const rounds = Number(process.argv[2] ?? 1000);
const tasks = Number(process.argv[3] ?? 128);

/** It stays until all are there. */
const COMMAND = ['sh', '-c', 'echo "$XDG_RUNTIME_DIR $DBUS_SESSION_BUS_ADDRESS"; read -r line'];

interface Task {
  readonly child: ChildProcess;
  readonly session: Promise<string>;
  readonly ended: Promise<unknown>;
}

function start(environment: NodeJS.ProcessEnv): Task {
  const child = spawn(binary, ['--share', '--', ...COMMAND], {env: environment, stdio: ['pipe', 'pipe', 'inherit']});
  const ended = once(child, 'exit').then(([code]) => code as number);
  const said = once(child.stdout, 'data').then(([chunk]) => String(chunk));
  return {child, session: Promise.race([said, ended.then(code => `none: status ${code}`)]), ended};
}

const base = mkdtempSync(join(tmpdir(), 'jbt-'));
const startedAt = performance.now();
for (let round = 0; round < rounds; round++) {
  const mark = `${process.pid}-${round}`;
  const environment = {...process.env, JOBBUS_RUNTIME_BASE: base, SLURM_JOB_ID: String(round), SLURM_STEP_ID: '0', JOBBUS_TEST_ROUND: mark};
  const all = Array.from({length: tasks}, () => start(environment));
  const sessions = new Set(await Promise.all(all.map(async ({session}) => session)));
  all.forEach(({child}) => child.stdin!.end('\n'));
  const statuses = new Set(await Promise.all(all.map(async ({ended}) => ended)));
  if (sessions.size !== 1 || statuses.size !== 1 || !statuses.has(0)) {
    throw new Error(`round ${round}: sessions: ${[...sessions].join('; ')}; statuses: ${[...statuses].join(', ')}`);
  }

  await eventually(`nothing to be left in round ${round}`, () => processesWith(`JOBBUS_TEST_ROUND=${mark}`).length === 0 && readdirSync(base).length === 0);
}

rmSync(base, {recursive: true});
console.log(`${rounds} rounds of ${tasks} tasks at once: one session in each, ${((performance.now() - startedAt) / rounds / 1000).toFixed(2)} s a round`);
