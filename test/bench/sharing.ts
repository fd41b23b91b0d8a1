/** What `--share` costs the tasks of one step on a node, beside as many runs of their own and as many of dbus-run-session. */

import {eventually, childrenOf, processesWith} from '../helpers/processes.js';
import {isSentinel} from '../helpers/ground.js';
import {CpuAccount, inTurn, milliseconds, privateDirty, ratio, start, type Row, type Started, type Words} from './measure.js';
import {binary, environment, ROUNDS, wrappers} from './place.js';

const TASKS = 128;

const STEP = {SLURM_JOB_ID: '1', SLURM_STEP_ID: '0'};

const SHARED: Words = [binary, '--share', '--'];
const PLAIN = wrappers['jobbus-run']!;

export async function sharing(): Promise<Row[]> {
  return [await memory(), await starts(), await joining()];
}

/** Private_Dirty of all that stands beside the commands, the daemons with it. */
async function memory(): Promise<Row> {
  const [shared, plain, incumbent] = [await beside(SHARED), await beside(PLAIN), await beside(wrappers['dbus-run-session']!)];
  return {
    measure: `${TASKS} tasks with --share, Private_Dirty of all but the commands`,
    value: `${ratio(shared, incumbent)} that of ${TASKS} dbus-run-session, ${ratio(shared, plain)} that of ${TASKS} runs (${shared}, ${incumbent}, ${plain} KiB)`,
    goal: '< 1 × and ≤ 0.1 ×',
    numbers: {shared, incumbent, plain},
  };
}

/** In KiB. */
async function beside(wrapper: Words): Promise<number> {
  return withTasks(wrapper, async ({tasks, mark}) => {
    await new Promise(resolve => setTimeout(resolve, SETTLING_TIME));
    // A sentinel has no environment.
    const sentinels = tasks.flatMap(({child}) => childrenOf(child.pid!).filter(isSentinel));
    const all = [...processesWith(mark).filter(({words}) => words[0] !== 'sh'), ...sentinels];
    return all.reduce((sum, {pid}) => sum + privateDirty(pid), 0);
  });
}

/** Milliseconds until a process that waits has given back what it gives back. */
const SETTLING_TIME = 2000;

/** From the first start until the last command is there: what members have in front of their commands is all that they have. */
async function starts(): Promise<Row> {
  const [shared, plain] = [await startCpu(SHARED), await startCpu(PLAIN)];
  return {
    measure: `${TASKS} starts with --share at once, CPU of each to that of a run`,
    value: `${ratio(shared, plain)} (${milliseconds(shared)}, ${milliseconds(plain)})`,
    goal: '≤ 0.6 ×',
    numbers: {ratio: shared / plain, shared, plain},
  };
}

async function startCpu(wrapper: Words): Promise<number> {
  return withTasks(wrapper, async ({cpu}) => Promise.resolve(cpu / TASKS));
}

interface Running {
  readonly tasks: readonly Started[];
  /** In the environment of all that they have started. */
  readonly mark: string;
  /** Milliseconds, until the last command was there. */
  readonly cpu: number;
}

async function withTasks<Value>(wrapper: Words, use: (running: Running) => Promise<Value>): Promise<Value> {
  const account = new CpuAccount('sharing');
  const mark = `${process.pid}-sharing`;
  const before = account.read();
  const words = account.wrap([...wrapper, 'sh', '-c', 'echo ready; read -r line']);
  // Each dbus-daemon may say that it cannot raise its limit of open files.
  const tasks = Array.from({length: TASKS}, () => start(words, {env: {...environment, ...STEP, JOBBUS_BENCH_MARK: mark}, stdio: ['pipe', 'pipe', 'ignore']}));
  try {
    await Promise.all(tasks.map(async ({output}) => output()));
    return await use({tasks, mark: `JOBBUS_BENCH_MARK=${mark}`, cpu: account.read() - before});
  } finally {
    tasks.forEach(({child}) => child.stdin!.end('\n'));
    await Promise.all(tasks.map(async ({gone}) => gone));
    await eventually('the last to go', () => processesWith(`JOBBUS_BENCH_MARK=${mark}`).length === 0, ENDING_TIME);
    await account.close();
  }
}

/** Milliseconds. */
const ENDING_TIME = 20_000;

/** A task that comes to a session which is there. */
async function joining(): Promise<Row> {
  const share: Words = [binary, '--share=bench', '--'];
  const first = start([...share, 'sh', '-c', 'echo ready; read -r line']);
  await first.output();
  try {
    const {member, bare} = await inTurn({member: [...share, 'true'], bare: ['true']}, ROUNDS);
    const [wall, cpu] = [member!.wall - bare!.wall, member!.cpu - bare!.cpu];
    return {measure: 'a member of --share, less a bare true', value: `wall ${milliseconds(wall)}, CPU ${milliseconds(cpu)}`, goal: '≤ 15 ms', numbers: {wall, cpu}};
  } finally {
    first.child.stdin!.end('\n');
    await first.gone;
  }
}
