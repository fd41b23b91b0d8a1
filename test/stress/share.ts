/**
 * A storm of those who share a session: in each of ROUNDS (50), TASKS (16) begin within a moment, and some are killed at random, the first and the keeper
 * among them. Nobody may hang, no command may find itself without a bus, and nothing may be left. Run it as
 * `node build/test/stress/share.js [ROUNDS [TASKS [SEED]]]`.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {binary, isJobbusRun, isKeeper} from '../helpers/ground.js';
import {eventually, processesWith} from '../helpers/processes.js';

const rounds = Number(process.argv[2] ?? 50);
const tasks = Number(process.argv[3] ?? 16);
const seed = Number(process.argv[4] ?? Date.now() % 1_000_000);

/** Of the session's directory, what is asked, and for how long it goes on. */
const COMMAND = `ask() { dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId >/dev/null 2>&1; }
  trap 'exit 143' TERM; ask || echo "no bus at the start"; sleep "$1"; ask || echo "no bus at the end"; exit "$2"`;

let state = seed;
/** From 0 to 1. */
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

/** @returns false where it has ended meanwhile */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

async function sleep(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, time));
}

const base = mkdtempSync(join(tmpdir(), 'jbt-'));
const said: string[] = [];
let sessions = 0;
let killed = 0;
for (let round = 0; round < rounds; round++) {
  const mark = `JOBBUS_TEST_ROUND=${process.pid}-${round}`;
  const environment = {...process.env, JOBBUS_RUNTIME_BASE: base, SLURM_JOB_ID: String(round), SLURM_STEP_ID: '0', JOBBUS_TEST_ROUND: mark.split('=')[1]!};
  const start = async (): Promise<ChildProcess> => {
    await sleep(random() * 200);
    const words = ['--share', '--', 'sh', '-c', COMMAND, 'sh', String(random()), random() < 0.2 ? '3' : '0'];
    const child = spawn(binary, words, {env: environment, stdio: ['ignore', 'pipe', 'pipe']});
    [child.stdout, child.stderr].forEach(stream => stream.on('data', (chunk: Buffer) => said.push(`round ${round}: ${chunk.toString().trimEnd()}`)));
    return child;
  };
  const children = await Promise.all(Array.from({length: tasks}, start));
  const victims = Math.floor(random() * 4);
  for (let strike = 0; strike < victims; strike++) {
    await sleep(random() * 400);
    const present = processesWith(mark).filter(({words}) => words[0]?.endsWith('dbus-daemon') !== true);
    const targets = random() < 0.5 ? present.filter(view => isJobbusRun(view) || isKeeper(view)) : present;
    const target = targets[Math.floor(random() * targets.length)];
    if (target !== undefined) {
      killed += kill(target.pid) ? 1 : 0;
    }
  }

  sessions = Math.max(sessions, readdirSync(base).flatMap(parent => readdirSync(join(base, parent))).filter(name => !name.startsWith('share-')).length);
  await eventually('all to end', () => children.every(({exitCode, signalCode}) => exitCode !== null || signalCode !== null));
  // Where the keeper was killed, too, the next run sweeps.
  await eventually(() => `nothing to be left in round ${round}, seed ${seed}; there was ${processesWith(mark).map(({words}) => words.join(' ')).join('; ')} and ${readdirSync(base, {recursive: true}).join(' ')}`, async () => {
    spawn(binary, ['--sweep'], {env: {...environment, JOBBUS_TEST_ROUND: ''}, stdio: 'ignore'});
    await sleep(300);
    return processesWith(mark).length === 0 && readdirSync(base).length === 0;
  });
}

rmSync(base, {recursive: true});
console.log(`seed ${seed}: ${rounds} rounds of ${tasks}, ${killed} killed, at most ${sessions} sessions at a time; said, beside nothing:`);
said.forEach(line => console.log(line));
