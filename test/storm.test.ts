/** Kill storms: 200 kills here, 2,000 by `npm run storm`; a seed that has been printed repeats a storm's choices. */

import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {kill, killEverything, markOf, nothingLeft, withEchoService} from './helpers/sessions.js';

useBench();

const KILLS = Number(process.env.JOBBUS_TEST_KILLS ?? 200);
const SEED = Number(process.env.JOBBUS_TEST_SEED ?? Date.now() % 1_000_000);
const LANES = 4;

/** Of these, the storm picks one each time; who ignores TERM takes a second to end. */
const COMMANDS = [['true'], [fixture('leaves-all'), '4'], [fixture('leaves-all')], ['sleep', '1000'], [fixture('ignores-all-term')]] as const;

/** One killing in the lane. @returns false when the run had ended before */
type Killing = (strike: Strike) => Promise<boolean>;

interface Strike {
  readonly lane: number;
  readonly number: number;
  readonly random: () => number;
}

test.serial('storm: jobbus-run killed at a random moment', async t => {
  t.timeout(KILLS * 10_000);
  const bench = t.context;
  const environment = withEchoService(bench);
  const times: number[] = [];
  const survivors: string[] = [];
  const calm = new AbortController();
  const neighbours = [lastingNeighbour(bench), shortNeighbours(bench, calm.signal)];
  const length = await usualLength(bench);
  const killing: Killing = async ({number, random}) => {
    const job = `1${number}`;
    const run = bench.start(['--', ...pick(COMMANDS, random)], {environment: {...environment, JOBBUS_TEST_RUN: markOf(bench, number), SLURM_JOB_ID: job}});
    const killedAt = await killAfter(run, random() * length);
    await nothingLeft(`JOBBUS_TEST_RUN=${markOf(bench, number)}`, bench.base, `${job}-`).catch((error: unknown) => survivors.push(String(error)));
    times.push(...(killedAt === undefined ? [] : [performance.now() - killedAt]));
    return killedAt !== undefined;
  };
  const kills = await storm(KILLS, killing);
  calm.abort();
  const noticed = (await Promise.all(neighbours)).flat();
  t.log(`seed ${SEED}: ${kills} kills; gone after ${Math.round(median(times))} ms, at most ${Math.round(Math.max(...times))} ms; survivors: ${survivors.length}`);
  t.deepEqual(survivors, []);
  t.deepEqual(noticed, []);
});

test.serial('storm: everything of a run killed at a random moment; nothing is left after the next run', async t => {
  t.timeout(KILLS * 10_000);
  const bench = t.context;
  const environment = withEchoService(bench);
  const survivors: string[] = [];
  const length = await usualLength(bench);
  const killing: Killing = async ({lane, number, random}) => {
    const base = join(bench.base, String(lane));
    mkdirSync(base, {recursive: true});
    const run = bench.start(['--', ...pick(COMMANDS, random)], {environment: {...environment, JOBBUS_RUNTIME_BASE: base, JOBBUS_TEST_RUN: markOf(bench, number)}});
    await sleep(random() * length);
    await killEverything(`JOBBUS_TEST_RUN=${markOf(bench, number)}`);
    const {signal} = await run.result;
    const {code, stderr} = await bench.run(['--', 'true'], {environment: {JOBBUS_RUNTIME_BASE: base}});
    survivors.push(...(code === 0 && stderr === '' ? [] : [`next run: ${code} ${stderr}`]));
    await nothingLeft(`JOBBUS_TEST_RUN=${markOf(bench, number)}`, base).catch((error: unknown) => survivors.push(String(error)));
    return signal === 'SIGKILL';
  };
  const kills = await storm(KILLS / 4, killing);
  t.log(`seed ${SEED}: everything killed ${kills} times; survivors: ${survivors.length}`);
  t.deepEqual(survivors, []);
});

/** Several lanes side by side, until there were that many kills. */
async function storm(kills: number, killing: Killing): Promise<number> {
  let number = 0;
  let done = 0;
  const lane = async (_: unknown, index: number): Promise<void> => {
    while (done < kills) {
      number++;
      const killed = await killing({lane: index, number, random: generator(SEED + number)});
      done += killed ? 1 : 0;
    }
  };
  await Promise.all(Array.from({length: LANES}, lane));
  return done;
}

/** Milliseconds that a run takes beside others like it, and a little more: a storm is to meet its end, too. */
async function usualLength(bench: Bench): Promise<number> {
  const start = performance.now();
  await Promise.all(Array.from({length: LANES}, async () => bench.run(['--', 'true'])));
  return 1.2 * (performance.now() - start);
}

/** @returns the moment; undefined when it had ended before */
async function killAfter(run: Run, time: number): Promise<number | undefined> {
  await Promise.race([sleep(time), run.result]);
  const killedAt = run.child.exitCode === null && run.child.signalCode === null ? performance.now() : undefined;
  if (killedAt !== undefined) {
    kill(run.pid);
  }

  await run.result;
  return killedAt;
}

/** A run that goes on through the storm. @returns what it has noticed */
async function lastingNeighbour(bench: Bench): Promise<string[]> {
  const run = bench.start(['--', fixture('asks-bus-at-term')]);
  await run.line(/^ready$/);
  lasting = run;
  const {code, stderr} = await run.result;
  return code === 0 && stderr === '' ? [] : [`the lasting neighbour ended with ${code}: ${stderr}`];
}

let lasting: Run | undefined;

/** One short run after the other, until the storm is over. @returns what they have noticed */
async function shortNeighbours(bench: Bench, calm: AbortSignal): Promise<string[]> {
  const noticed: string[] = [];
  while (!calm.aborted) {
    const {code, stdout, stderr} = await bench.run(['--', 'sh', '-c', 'sleep 1; dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId; exit 7']);
    if (code !== 7 || stderr !== '' || !/^\s*[0-9a-f]{32}/.test(stdout)) {
      noticed.push(`a short neighbour ended with ${code}: ${stdout}${stderr}`);
    }
  }

  lasting!.child.kill('SIGTERM');
  return noticed;
}

/** Mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick<Item>(items: readonly Item[], random: () => number): Item {
  return items[Math.floor(random() * items.length)]!;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

async function sleep(time: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, time));
}
