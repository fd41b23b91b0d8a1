/** What a launch costs: alone beside the floor and the peers, and many at once. */

import {spawn} from 'node:child_process';
import {eventually, processesWith} from '../helpers/processes.js';
import {CpuAccount, inTurn, medians, milliseconds, ratio, start, type Row, type Words} from './measure.js';
import {binary, environment, node, ROUNDS, wrappers} from './place.js';

/** One command under each wrapper, in turn with bare Node. */
export async function launches(): Promise<Row[]> {
  const commands = Object.fromEntries(Object.entries(wrappers).map(([name, words]): [string, Words] => [name, [...words, 'true']]));
  const taken = await inTurn({node, ...commands}, ROUNDS);
  const [bare, ours, incumbent] = [taken.node!, taken['jobbus-run']!, taken['dbus-run-session']!];
  return [
    {measure: 'bare Node: an empty file', value: `wall ${milliseconds(bare.wall)}, CPU ${milliseconds(bare.cpu)}`, numbers: {...bare}},
    ...Object.keys(wrappers).map((name): Row => {
      const {wall, cpu} = taken[name]!;
      return {
        measure: `${name} true, to bare Node`,
        value: `wall ${ratio(wall, bare.wall)}, CPU ${ratio(cpu, bare.cpu)} (${milliseconds(wall)}, ${milliseconds(cpu)})`,
        ...(name === 'jobbus-run' ? {goal: '≤ 0.8 × and ≤ 0.8 ×'} : {}),
        numbers: {wall, cpu, wallRatio: wall / bare.wall, cpuRatio: cpu / bare.cpu},
      };
    }),
    {
      measure: 'jobbus-run true, to dbus-run-session',
      value: `wall ${ratio(ours.wall, incumbent.wall)}`,
      goal: '≤ 3 ×',
      numbers: {wallRatio: ours.wall / incumbent.wall},
    },
  ];
}

/** Many at once, to one alone. */
export async function together(counts: readonly number[]): Promise<Row[]> {
  const [alone = NaN] = await medians([async () => (await atOnce(1)).cpu], ROUNDS);
  const rows: Row[] = [];
  for (const count of counts) {
    const {cpu, slowestStart, end} = await atOnce(count);
    rows.push({
      measure: `${count} at once, CPU to 1 alone`,
      value: `${ratio(cpu / count, alone)} each (${milliseconds(cpu / count)}); the last command starts after ${seconds(slowestStart)}, the last run ends after ${seconds(end)}`,
      goal: '≤ 1.15 ×, and none fails',
      numbers: {cpu, ratio: cpu / count / alone, slowestStart, end},
    });
  }

  return rows;
}

async function atOnce(count: number): Promise<{readonly cpu: number; readonly slowestStart: number; readonly end: number}> {
  const account = new CpuAccount(`at-once-${count}`);
  const words = account.wrap([binary, 'echo']);
  const before = account.read();
  const startedAt = performance.now();
  try {
    const runs = Array.from({length: count}, () => start(words));
    const starts = await Promise.all(runs.map(async ({output}) => output()));
    const ends = await Promise.all(runs.map(async ({gone}) => gone));
    return {cpu: account.read() - before, slowestStart: Math.max(...starts) - startedAt, end: Math.max(...ends) - startedAt};
  } finally {
    await account.close();
  }
}

function seconds(time: number): string {
  return `${(time / 1000).toFixed(2)} s`;
}

/** What jobbus-run does beside starting, waiting and handing on the status, and its peers do not. */
export async function differences(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, words] of Object.entries(wrappers)) {
    const mark = `${process.pid}-${name}`;
    const script = 'tail -f /dev/null >/dev/null 2>&1 & echo "${DBUS_SESSION_BUS_ADDRESS:+bus }${XDG_RUNTIME_DIR:+directory}"; exit 7';
    const child = spawn(words[0], [...words.slice(1), 'sh', '-c', script], {env: {...environment, JOBBUS_BENCH_MARK: mark}, stdio: ['ignore', 'pipe', 'inherit']});
    let given = '';
    child.stdout.on('data', (chunk: Buffer) => (given += chunk.toString().trim()));
    const status = await new Promise<number | null>(resolve => child.once('exit', resolve));
    // A daemon that is asked to end and not waited for gets its time.
    await eventually('its end', () => remains(mark).every(word => word === 'tail'), REMAINING_TIME).catch(() => undefined);
    const left = remains(mark);
    processesWith(`JOBBUS_BENCH_MARK=${mark}`).forEach(({pid}) => process.kill(pid, 'SIGKILL'));
    rows.push({measure: `${name}: what it does`, value: `hands on the status: ${status === 7 ? 'yes' : 'no'}; gives: ${given.replace(' ', ', ') || 'nothing'}; leaves running: ${left.join(', ') || 'nothing'}`});
  }

  return rows;
}

const REMAINING_TIME = 1000;

function remains(mark: string): string[] {
  return processesWith(`JOBBUS_BENCH_MARK=${mark}`).map(({words}) => words[0]!.replace(/.*\//, ''));
}
