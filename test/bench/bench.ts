/** `npm run bench`: what jobbus-run costs, beside bare Node and dbus-run-session. Prints a table, and writes bench.json. */

import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {eventually, processesWith} from '../helpers/processes.js';
import {CpuAccount, inTurn, median, need, privateDirty, save, type Words} from './measure.js';

interface Row {
  readonly measure: string;
  readonly value: string;
  readonly goal: string;
}

const project = join(import.meta.dirname, '../../..');
const binary = join(project, 'bin/jobbus-run');
const directory = mkdtempSync(join(tmpdir(), 'jbb-'));
const empty = join(directory, 'empty.cjs');
writeFileSync(empty, '');
// Nothing of the caller's may distort Node: NODE_EXTRA_CA_CERTS alone makes it start 2.5 times slower.
const environment = {HOME: directory, LANG: 'C.UTF-8', PATH: '/usr/local/bin:/usr/bin:/bin', JOBBUS_RUNTIME_BASE: directory};
const node: Words = [process.execPath, empty];
const ROUNDS = 60;

function ratio(one: number, other: number): string {
  return `${(one / other).toFixed(2)} × (${one.toFixed(1)} / ${other.toFixed(1)} ms)`;
}

function launches(): Row[] {
  const taken = inTurn({node, dbus: ['dbus-run-session', '--', 'true'], jobbus: [binary, 'true']}, ROUNDS, environment);
  const [bare, incumbent, ours] = [taken.node!, taken.dbus!, taken.jobbus!];
  const rows = [
    {measure: 'jobbus-run true, wall, to bare Node', value: ratio(ours.wall, bare.wall), goal: '≤ 2.0 ×'},
    {measure: 'the same, to dbus-run-session and bare Node together', value: ratio(ours.wall, bare.wall + incumbent.wall), goal: '≤ 1.7 ×'},
  ];
  return ours.cpu === undefined || bare.cpu === undefined
    ? [...rows, {measure: 'CPU', value: 'not measured: no cgroup can be made here', goal: '≤ 2.0 ×'}]
    : [...rows, {measure: 'jobbus-run true, CPU, to bare Node', value: ratio(ours.cpu, bare.cpu), goal: '≤ 2.0 ×'}];
}

/** From the command's last act to our exit: the command says when it ends. */
async function endings(): Promise<Row> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const child = spawn(binary, ['sh', '-c', 'read -r _; echo'], {env: environment, stdio: ['pipe', 'pipe', 'inherit']});
    const ended = new Promise<number>(resolve => child.stdout.once('end', () => resolve(performance.now())));
    const exited = new Promise<number>(resolve => child.once('exit', () => resolve(performance.now())));
    child.stdout.resume();
    child.stdin.write('\n');
    times.push((await exited) - (await ended));
  }

  return {measure: "the command's end to ours, median", value: `${median(times).toFixed(1)} ms`, goal: '≤ 25 ms'};
}

async function memory(): Promise<Row> {
  const mark = `JOBBUS_BENCH_MARK=${process.pid}`;
  const marked = {...environment, JOBBUS_BENCH_MARK: String(process.pid)};
  const bare = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e9)'], {env: environment, stdio: 'ignore'});
  const ours = spawn(binary, ['sleep', '1000'], {env: marked, stdio: 'ignore'});
  await eventually('the command', () => processesWith(mark).some(({words}) => words[0] === 'sleep' && words[1] === '1000'));
  await new Promise(resolve => setTimeout(resolve, SETTLING_TIME));
  const helpers = processesWith(mark).filter(({words}) => words[0] !== 'sleep' && !words[0]!.endsWith('dbus-daemon'));
  const all = helpers.reduce((sum, {pid}) => sum + privateDirty(pid), 0);
  const floor = privateDirty(bare.pid!);
  bare.kill();
  const exited = new Promise(resolve => ours.once('exit', resolve));
  ours.kill();
  await exited;
  return {
    measure: `Private_Dirty while waiting, ${helpers.length} processes without the daemon, to idle Node`,
    value: `${(all / floor).toFixed(2)} × (${all} / ${floor} KiB)`,
    goal: '≤ 1.25 ×',
  };
}

const SETTLING_TIME = 2000;

/** TERM to us until the command says that it has it; and the same without us. */
async function forwarding(): Promise<Row> {
  const script = 'trap "echo got; exit" TERM; echo ready; while :; do sleep 1000 & wait; done';
  const time = async (words: Words): Promise<number> => {
    const child = spawn(words[0], words.slice(1), {env: environment, stdio: ['ignore', 'pipe', 'inherit']});
    const exited = new Promise(resolve => child.once('exit', resolve));
    await new Promise(resolve => child.stdout.once('data', resolve));
    const got = new Promise(resolve => child.stdout.once('data', resolve));
    const start = performance.now();
    child.kill('SIGTERM');
    await got;
    const taken = performance.now() - start;
    await exited;
    return taken;
  };
  const [wrapped, bare]: [number[], number[]] = [[], []];
  for (let round = 0; round < 30; round++) {
    wrapped.push(await time([binary, 'sh', '-c', script]));
    bare.push(await time(['sh', '-c', script]));
  }

  return {measure: 'TERM to us → TERM in the command, median', value: `${median(wrapped).toFixed(1)} ms (bare ${median(bare).toFixed(1)} ms)`, goal: '≤ 25 ms'};
}

async function together(count: number): Promise<Row> {
  const account = new CpuAccount(`together-${count}`);
  const [program, ...rest] = account.wrap([binary, 'true']);
  const start = performance.now();
  const ends = await Promise.all(
    Array.from({length: count}, async () => {
      const child = spawn(program, rest, {env: environment, stdio: 'ignore'});
      return new Promise<{code: number | null; time: number}>(resolve => child.once('exit', code => resolve({code, time: performance.now() - start})));
    }),
  );
  const failures = ends.filter(({code}) => code !== 0).length;
  const cpu = account.read();
  account.close();
  if (failures > 0) {
    throw new Error(`${failures} of ${count} runs at once failed`);
  }

  const each = cpu === undefined ? 'CPU not measured' : `${(cpu / count).toFixed(1)} ms CPU each`;
  return {measure: `${count} at once`, value: `${each}, slowest ${(Math.max(...ends.map(({time}) => time)) / 1000).toFixed(2)} s, none failed`, goal: 'linear in CPU'};
}

function roundTrips(): Row {
  const echo = 'dbus-test-tool echo --session --name=org.example.Echo & e=$!; until dbus-send --session --print-reply --dest=org.example.Echo / a.b.C >/dev/null 2>&1; do :; done; dbus-test-tool spam --session --dest=org.example.Echo --count=5000 >/dev/null; kill $e';
  const taken = inTurn({dbus: ['dbus-run-session', '--', 'sh', '-c', echo], jobbus: [binary, 'sh', '-c', echo]}, 5, environment);
  return {measure: '5,000 round trips on the bus, wall, to dbus-run-session', value: ratio(taken.jobbus!.wall, taken.dbus!.wall), goal: '1.0 × and the difference of a launch'};
}

async function bench(): Promise<void> {
  ['dbus-run-session', 'dbus-test-tool'].forEach(need);
  const rows = [...launches(), await endings(), await memory(), await forwarding(), await together(1), await together(64), await together(256), roundTrips()];
  const width = Math.max(...rows.map(({measure}) => measure.length));
  for (const {measure, value, goal} of rows) {
    console.log(`${measure.padEnd(width)}  ${value}  [${goal}]`);
  }

  save(join(project, 'bench.json'), {node: process.version, rows});
}

try {
  await bench();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  rmSync(directory, {recursive: true, force: true});
}
