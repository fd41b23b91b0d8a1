/** What a run costs while its command runs and as it ends: memory, signals, the bus, the end. */

import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import treeKill from 'tree-kill';
import {isSentinel} from '../helpers/ground.js';
import {childrenOf, eventually, processesWith} from '../helpers/processes.js';
import {median, medians, milliseconds, privateDirty, ratio, start, type Row, type Words} from './measure.js';
import {base, binary, environment, idleNode, inTerminal, isRoot, ordinary, ROUNDS, wrappers} from './place.js';

/** Milliseconds until a process that waits has given back what it gives back. */
const SETTLING_TIME = 2000;

/** Private_Dirty of all that a wrapper has running beside the command and the daemon, to an idle Node. */
export async function memory(): Promise<Row[]> {
  const marked = (name: string): NodeJS.ProcessEnv => ({...environment, JOBBUS_BENCH_MARK: `${process.pid}-${name}`});
  const bare = spawn(idleNode[0], idleNode.slice(1), {env: environment, stdio: 'ignore'});
  const children = new Map(Object.entries(wrappers).map(([name, words]) => [name, spawn(words[0], [...words.slice(1), 'sleep', '1000'], {env: marked(name), stdio: 'ignore'})]));
  try {
    const processes = (name: string): ReturnType<typeof processesWith> => processesWith(`JOBBUS_BENCH_MARK=${process.pid}-${name}`);
    await eventually('every command', () => Object.keys(wrappers).every(name => processes(name).some(({words}) => words.join(' ') === 'sleep 1000')));
    await new Promise(resolve => setTimeout(resolve, SETTLING_TIME));
    const floor = privateDirty(bare.pid!);
    return Object.keys(wrappers).map(name => {
      // The sentinel has no environment.
      const all = [...processes(name), ...childrenOf(children.get(name)!.pid!).filter(isSentinel)];
      const own = all.filter(({words}) => words.join(' ') !== 'sleep 1000' && !words[0]!.endsWith('dbus-daemon'));
      const sum = own.reduce((total, {pid}) => total + privateDirty(pid), 0);
      return {
        measure: `${name}, Private_Dirty while it waits, to idle Node`,
        value: `${ratio(sum, floor)} (${sum} KiB in ${own.length} processes, ${floor} KiB)`,
        ...(name === 'jobbus-run' ? {goal: '≤ 0.8 ×'} : {}),
        numbers: {ratio: sum / floor, kibibytes: sum, floor, processes: own.length},
      };
    });
  } finally {
    await Promise.all([bare, ...children.values()].map(async child => ended(child, child === children.get('dbus-run-session'))));
  }
}

/** @param leavesAll it ends nothing when it is ended */
async function ended(child: ChildProcess, leavesAll: boolean): Promise<void> {
  const gone = new Promise(resolve => child.once('exit', resolve));
  if (leavesAll) {
    treeKill(child.pid!);
  } else {
    child.kill();
  }

  await gone;
}

/** From a TERM to the wrapper until the command says that it has it, and the same without a wrapper. */
export async function forwarding(): Promise<Row[]> {
  const command: Words = ['sh', '-c', 'trap "echo got; exit 0" TERM; echo ready; read -r line'];
  // dbus-run-session hands no signal on, and foreground-child may not listen yet when its command does.
  const prefixes = {bare: [], 'jobbus-run': wrappers['jobbus-run']!, tini: wrappers.tini!} as const;
  const names = Object.keys(prefixes) as Array<keyof typeof prefixes>;
  const measures = names.map(name => async () => {
    const child = start([...prefixes[name], ...command] as unknown as Words);
    await child.output();
    const got = child.output();
    const sentAt = performance.now();
    child.child.kill('SIGTERM');
    const time = (await got) - sentAt;
    await child.gone;
    return time;
  });
  const taken = await medians(measures, ROUNDS / 2);
  return names.map((name, index) => ({
    measure: name === 'bare' ? 'TERM by kill → TERM in the command' : `TERM to ${name} → TERM in the command`,
    value: milliseconds(taken[index]!),
    ...(name === 'jobbus-run' ? {goal: '≤ 22 ms'} : {}),
    numbers: {milliseconds: taken[index]!},
  }));
}

/** Milliseconds. */
const IDLE_TIME = 60_000;

/** CPU and wake-ups of all of ours, the daemon with them, in a minute in which nothing happens. */
export async function idling(): Promise<Row> {
  const {child, output, gone} = start([binary, 'sh', '-c', 'echo ready; read -r line']);
  await output();
  await new Promise(resolve => setTimeout(resolve, SETTLING_TIME));
  const all = [child.pid!, ...childrenOf(child.pid!).map(({pid}) => pid), ...processesWith(`JOBBUS_RUNTIME_BASE=${base}`).map(({pid}) => pid)];
  const before = spent(all);
  await new Promise(resolve => setTimeout(resolve, IDLE_TIME));
  const after = spent(all);
  const [cpu, wakes] = [after.cpu - before.cpu, (after.wakes - before.wakes) / (IDLE_TIME / 1000)];
  child.stdin!.end('\n');
  await gone;
  return {measure: 'a minute of waiting, CPU and wake-ups a second of all', value: `${milliseconds(cpu)}, ${wakes.toFixed(2)}`, goal: '≤ 5 ms, ≤ 0.5', numbers: {cpu, wakes}};
}

/** CPU in milliseconds, and how often a processor was given up, of all threads. */
function spent(pids: readonly number[]): {readonly cpu: number; readonly wakes: number} {
  const tasks = [...new Set(pids)].flatMap(pid => readdirSync(`/proc/${pid}/task`).map(task => `/proc/${pid}/task/${task}`));
  const total = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
  return {
    cpu: total(tasks.map(task => Number(readFileSync(`${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6)),
    wakes: total(tasks.map(task => Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(readFileSync(`${task}/status`, 'utf8'))![1]))),
  };
}

/** From Ctrl-C in a terminal until the command says that it has the INT, and the same without a wrapper. */
export async function keys(): Promise<Row> {
  const command: Words = ['sh', '-c', 'stty -echo; trap "echo got; exit 0" INT; echo ready; read -r line'];
  const pressed = (prefix: readonly string[]) => async (): Promise<number> => {
    const {child, output, gone} = start([inTerminal, ...prefix, ...command]);
    await output();
    const got = output();
    const sentAt = performance.now();
    child.stdin!.write('\x03');
    const time = (await got) - sentAt;
    await gone;
    return time;
  };
  const [bare = NaN, ours = NaN] = await medians([pressed([]), pressed(wrappers['jobbus-run']!)], ROUNDS / 2);
  return {measure: 'Ctrl-C in a terminal → INT in the command', value: `${milliseconds(ours)} (bare ${milliseconds(bare)})`, goal: '≤ 2 ms', numbers: {ours, bare}};
}

/** Neither root nor the one as whom we measure. */
const OTHER = 65_533;

/** From the command's last act, as its stdout ends, to our exit; and the part of it that the daemon takes. */
export async function endings(): Promise<Row[]> {
  const rows = [endingRow('command ends → jobbus-run ends', await endingTime({}), '≤ 8 ms'), await daemonsEnd()];
  const crowds = [
    {who: "another user's", owner: {uid: OTHER, gid: OTHER}, goal: '≤ 8 ms', possible: isRoot},
    {who: 'its own', owner: ordinary, goal: '≤ 8 ms', possible: true},
  ];
  for (const {who, owner, goal, possible} of crowds) {
    const measure = `the same for an ordinary user, beside 2,000 of ${who} processes`;
    if (!possible) {
      rows.push({measure, value: 'not measured: only root can start them', goal});
      continue;
    }

    const crowd = await startCrowd(2000, owner);
    rows.push(endingRow(measure, await endingTime(ordinary), goal));
    await disperse(crowd);
  }

  return rows;
}

function endingRow(measure: string, time: number, goal: string): Row {
  return {measure, value: milliseconds(time), goal, numbers: {milliseconds: time}};
}

async function endingTime(user: {readonly uid?: number; readonly gid?: number}): Promise<number> {
  const [time = NaN] = await medians([async () => {
    const {child, closed, gone} = start([binary, 'sh', '-c', 'read -r line'], user);
    child.stdin!.end('\n');
    return -(await closed) + (await gone);
  }], ROUNDS);
  return time;
}

/** Whoever waits for the daemon waits that long. */
async function daemonsEnd(): Promise<Row> {
  const [time = NaN] = await medians([async () => {
    const address = `unix:path=${join(base, 'bench-bus')}`;
    const {child, output} = start(['dbus-daemon', '--session', '--nofork', '--print-address', `--address=${address}`], {stdio: ['pipe', 'pipe', 'ignore']});
    await output();
    await new Promise(resolve => setTimeout(resolve, DAEMON_SETTLING_TIME));
    const gone = new Promise<number>(resolve => child.once('exit', () => resolve(performance.now())));
    const sentAt = performance.now();
    child.kill();
    return (await gone) - sentAt;
  }], ROUNDS);
  return {measure: 'TERM to a dbus-daemon alone → it is gone, the floor of an end', value: milliseconds(time), numbers: {milliseconds: time}};
}

/** Milliseconds after its address until a daemon watches and listens. */
const DAEMON_SETTLING_TIME = 20;

/** As many processes that do nothing; all end with their stdin. */
async function startCrowd(count: number, user: {readonly uid?: number; readonly gid?: number}): Promise<ChildProcess> {
  const script = `exec 3<&0; i=0; while [ $i -lt ${count} ]; do read -r line <&3 & i=$((i + 1)); done; echo ready; wait`;
  const {child, output} = start(['/bin/sh', '-c', script], user);
  await output();
  return child;
}

async function disperse(crowd: ChildProcess): Promise<void> {
  const gone = new Promise(resolve => crowd.once('exit', resolve));
  crowd.stdin!.end();
  await gone;
}

const CALLS = 5000;

/** Measured inside of the session, so that no launch is in it. */
export function roundTrips(): Row {
  const script = `dbus-test-tool echo --session --name=org.example.Echo & echo=$!
    until dbus-send --session --print-reply --dest=org.example.Echo / a.b.C >/dev/null 2>&1; do :; done
    start=$(date +%s%N); dbus-test-tool spam --session --dest=org.example.Echo --count=${CALLS} >/dev/null || exit 1; end=$(date +%s%N)
    echo $((end - start)); kill $echo`;
  const rates: Record<string, number[]> = {'dbus-run-session': [], 'jobbus-run': []};
  for (let round = 0; round < 7; round++) {
    for (const [name, taken] of Object.entries(rates)) {
      const [program, ...rest] = wrappers[name]!;
      const {status, stdout, stderr} = spawnSync(program, [...rest, 'sh', '-c', script], {env: environment, encoding: 'utf8'});
      if (status !== 0 || !/^\d+$/m.test(stdout)) {
        throw new Error(`the round trips under ${name} failed with status ${status}: ${stderr}`);
      }

      taken.push(CALLS / (Number(/^\d+$/m.exec(stdout)![0]) / 1e9));
    }
  }

  const [incumbent, ours] = [median(rates['dbus-run-session']!), median(rates['jobbus-run']!)];
  return {
    measure: 'round trips per second on the bus, to dbus-run-session',
    value: `${ratio(ours, incumbent)} (${ours.toFixed(0)}, ${incumbent.toFixed(0)})`,
    goal: '1.0 ×',
    numbers: {ratio: ours / incumbent, ours, incumbent},
  };
}
