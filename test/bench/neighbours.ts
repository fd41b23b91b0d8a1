/** What many sessions on the node cost a start and a sweep: cheap fakes, directories with records and, of the live ones, bound locks. */

import {spawnSync, type SpawnOptions} from 'node:child_process';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type Server} from 'node:net';
import {join} from 'node:path';
import {statusOf} from '../../src/processes.js';
import type {RecordView} from '../helpers/sessions.js';
import {medians, milliseconds, ratio, start, startTime, type Row, type Started} from './measure.js';
import {base, binary, environment, ROUNDS} from './place.js';

const COUNT = 1000;

/** Bases of their own, so that starts beside none, beside dead and beside live sessions come in turn. */
const [none, dead, live] = ['none', 'dead', 'live'].map(name => join(base, name)) as [string, string, string];

/** The dead ones are made anew for each start, which sweeps some. */
export async function neighbours(): Promise<Row[]> {
  [none, dead, live].forEach(directory => mkdirSync(directory));
  const record = recordOfRun();
  const besideDead = async (time: (base: string) => Promise<number>): Promise<number> => {
    fakeSessions(dead, record);
    return time(dead).finally(() => removeSessions(dead));
  };
  const {pid, startTime: since} = statusOf(process.pid)!;
  const locks = await Promise.all(fakeSessions(live, {...record, owner: {pid, startTime: since}}).map(lock));
  const [alone = NaN, besideLive = NaN, wholeAlone = NaN, wholeLive = NaN, amongDead = NaN] = await medians([
    async () => startTimeIn(none), async () => startTimeIn(live), async () => wholeTime(none), async () => wholeTime(live), async () => besideDead(startTimeIn),
  ], ROUNDS / 4);
  const swept = await besideDead(sweepTime);
  locks.forEach(server => server.close());
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

/** @returns their names */
function fakeSessions(place: string, record: RecordView): string[] {
  const parent = parentIn(place);
  mkdirSync(parent, {recursive: true, mode: 0o700});
  return Array.from({length: COUNT}, (_, index) => {
    const name = record.name.replace(/-.{8}/, `-${index.toString(5).padStart(8, '0').replace(/./g, digit => 'abcde'[Number(digit)]!)}`);
    mkdirSync(join(parent, name), {mode: 0o700});
    writeFileSync(join(parent, name, 'session.json'), JSON.stringify({...record, name, address: record.address.replace(record.name, name)}));
    return name;
  });
}

function removeSessions(place: string): void {
  rmSync(parentIn(place), {recursive: true, force: true});
}

/** As jobbus-run binds it. */
async function lock(name: string): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(`\0jobbus-run/${name}`.padEnd(108, '\0'), () => resolve(server));
  });
}
