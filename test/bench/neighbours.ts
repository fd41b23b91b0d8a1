/** What many sessions on the node cost a start and a sweep: cheap fakes, directories with records and, of the live ones, bound locks. */

import {spawnSync, type SpawnOptions} from 'node:child_process';
import {mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {engine, engineWords} from '../helpers/engine.js';
import {eventually, processesWith} from '../helpers/processes.js';
import type {RecordView} from '../helpers/sessions.js';
import {medians, milliseconds, ratio, start, startTime, type Row, type Started} from './measure.js';
import {base, binary, environment, ROUNDS} from './place.js';

const COUNT = 1000;

/** Milliseconds: what was made a moment ago is still on its way to the disk, beside which a start takes longer. */
const SETTLING_TIME = 500;

/** Bases of their own, so that starts beside none, beside dead and beside live sessions come in turn. */
const [none, dead, live] = ['none', 'dead', 'live'].map(name => join(base, name)) as [string, string, string];

/** The dead ones are made anew for each start, which has them swept. */
export async function neighbours(): Promise<Row[]> {
  [none, dead, live].forEach(directory => mkdirSync(directory));
  const record = recordOfRun();
  const besideDead = async (time: (base: string) => Promise<number>): Promise<number> => {
    fakeSessions(dead, record);
    await new Promise(resolve => setTimeout(resolve, SETTLING_TIME));
    const taken = await time(dead);
    // A sweeper outlives the run beside which it was started.
    await eventually('the sweeper to end', () => processesWith(`JOBBUS_RUNTIME_BASE=${dead}`).length === 0);
    rmSync(parentIn(dead), {recursive: true, force: true});
    return taken;
  };
  const holder = await holdLocks(namesLike(record));
  fakeSessions(live, {...record, owner: holder.owner});
  const [alone = NaN, besideLive = NaN, wholeAlone = NaN, wholeLive = NaN, amongDead = NaN] = await medians([
    async () => startTimeIn(none), async () => startTimeIn(live), async () => wholeTime(none), async () => wholeTime(live), async () => besideDead(startTimeIn),
  ], ROUNDS / 4);
  const swept = await besideDead(sweepTime);
  await holder.end();
  return [
    startRow('1,000 dead sessions', amongDead, alone),
    startRow('1,000 live ones', besideLive, alone),
    {measure: 'a whole run of echo beside 1,000 live sessions, which it looks at', value: `${ratio(wholeLive, wholeAlone)} (${milliseconds(wholeLive)}, ${milliseconds(wholeAlone)})`, numbers: {live: wholeLive, alone: wholeAlone}},
    {measure: 'jobbus-run --sweep of 1,000 dead sessions', value: `${(swept / 1000).toFixed(2)} s`, numbers: {milliseconds: swept}},
  ];
}

function startRow(beside: string, time: number, alone: number): Row {
  return {measure: `a start beside ${beside}`, value: `${ratio(time, alone)} (${milliseconds(time)}, ${milliseconds(alone)})`, goal: '1.0 ×', numbers: {ratio: time / alone, time, alone}};
}

async function wholeTime(place: string): Promise<number> {
  const {startedAt, gone} = startIn(place, 'echo');
  return (await gone) - startedAt;
}

async function sweepTime(place: string): Promise<number> {
  const {startedAt, gone} = startIn(place, '--sweep');
  return (await gone) - startedAt;
}

async function startTimeIn(place: string): Promise<number> {
  return startTime([binary, 'echo'], optionsIn(place));
}

function startIn(place: string, word: string): Started {
  return start([binary, word], optionsIn(place));
}

function optionsIn(place: string): SpawnOptions {
  return {env: {...environment, JOBBUS_RUNTIME_BASE: place}};
}

/** Of a session that is over. */
function recordOfRun(): RecordView {
  const {status, stdout, stderr} = spawnSync(binary, ['sh', '-c', 'cat "$XDG_RUNTIME_DIR/session.json"'], {env: environment, encoding: 'utf8'});
  if (status !== 0) {
    throw new Error(`${binary} failed with status ${status}: ${stderr}`);
  }

  return JSON.parse(stdout) as RecordView;
}

function parentIn(place: string): string {
  return join(place, `jobbus-${process.getuid!()}`);
}

function namesLike({name}: RecordView): string[] {
  return Array.from({length: COUNT}, (_, index) => name.replace(/-.{8}/, `-${index.toString(5).padStart(8, '0').replace(/./g, digit => 'abcde'[Number(digit)]!)}`));
}

function fakeSessions(place: string, record: RecordView): void {
  const parent = parentIn(place);
  mkdirSync(parent, {recursive: true, mode: 0o700});
  for (const name of namesLike(record)) {
    mkdirSync(join(parent, name), {mode: 0o700});
    writeFileSync(join(parent, name, 'session.json'), JSON.stringify({...record, name, address: record.address.replace(record.name, name)}));
  }
}

/** Takes the lock with each name. @returns who holds them */
async function holdLocks(names: readonly string[]): Promise<{readonly owner: RecordView['owner']; readonly end: () => Promise<void>}> {
  const lines = "if (process.argv.slice(1).map(takeLock).every(({ok}) => ok)) { console.log('bound'); run(new Promise(resolve => onReadable(0, resolve))); }";
  const {child, output, gone} = start([engine, ...engineWords({'session/lock': 'takeLock', 'system/loop': 'onReadable'}, lines, ...names)]);
  await output();
  const pid = child.pid!;
  const end = async (): Promise<void> => {
    child.stdin!.end();
    await gone;
  };
  return {owner: {pid, startTime: readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[21]!}, end};
}
