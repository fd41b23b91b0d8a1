/** What many sessions on the node cost a start and a sweep: cheap fakes, directories with records and, of the live ones, bound locks. */

import {spawnSync} from 'node:child_process';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type Server} from 'node:net';
import {join} from 'node:path';
import {statusOf} from '../../src/processes.js';
import type {RecordView} from '../helpers/sessions.js';
import {medians, milliseconds, ratio, start, type Row} from './measure.js';
import {base, binary, environment, ROUNDS} from './place.js';

const COUNT = 1000;

const parent = join(base, `jobbus-${process.getuid!()}`);

/** Starts beside none, beside as many dead ones, which are made anew for each, and beside as many live ones. */
export async function neighbours(): Promise<Row[]> {
  const record = recordOfRun();
  const besideDead = async (time: () => Promise<number>): Promise<number> => {
    fakeSessions(record);
    return time().finally(removeSessions);
  };
  const [alone = NaN, wholeAlone = NaN, dead = NaN] = await medians([startTime, wholeTime, async () => besideDead(startTime)], ROUNDS / 8);
  const swept = await besideDead(sweepTime);
  const {pid, startTime: since} = statusOf(process.pid)!;
  const locks = await Promise.all(fakeSessions({...record, owner: {pid, startTime: since}}).map(lock));
  const [live = NaN, wholeLive = NaN] = await medians([startTime, wholeTime], ROUNDS / 8);
  locks.forEach(server => server.close());
  removeSessions();
  return [
    startRow('1,000 dead sessions', dead, alone),
    startRow('1,000 live ones', live, alone),
    {measure: 'a whole run beside 1,000 live sessions, which it looks at once its command has started', value: `${milliseconds(wholeLive)} (${milliseconds(wholeAlone)} alone)`, numbers: {live: wholeLive, alone: wholeAlone}},
    {measure: 'jobbus-run --sweep of 1,000 dead sessions', value: `${(swept / 1000).toFixed(2)} s`, numbers: {milliseconds: swept}},
  ];
}

function startRow(beside: string, time: number, alone: number): Row {
  return {measure: `a start beside ${beside}`, value: `${ratio(time, alone)} (${milliseconds(time)}, ${milliseconds(alone)})`, goal: '1.0 ×', numbers: {ratio: time / alone, time, alone}};
}

/** Until the command says something. */
async function startTime(): Promise<number> {
  const {startedAt, output, gone} = start([binary, 'echo']);
  const time = (await output()) - startedAt;
  await gone;
  return time;
}

async function wholeTime(): Promise<number> {
  const {startedAt, gone} = start([binary, 'echo']);
  return (await gone) - startedAt;
}

async function sweepTime(): Promise<number> {
  const {startedAt, gone} = start([binary, '--sweep']);
  return (await gone) - startedAt;
}

/** Of a session that is over. */
function recordOfRun(): RecordView {
  const {status, stdout, stderr} = spawnSync(binary, ['sh', '-c', 'cat "$XDG_RUNTIME_DIR/session.json"'], {env: environment, encoding: 'utf8'});
  if (status !== 0) {
    throw new Error(`${binary} failed with status ${status}: ${stderr}`);
  }

  return JSON.parse(stdout) as RecordView;
}

/** @returns their names */
function fakeSessions(record: RecordView): string[] {
  mkdirSync(parent, {recursive: true, mode: 0o700});
  return Array.from({length: COUNT}, (_, index) => {
    const name = record.name.replace(/-.{8}/, `-${index.toString(5).padStart(8, '0').replace(/./g, digit => 'abcde'[Number(digit)]!)}`);
    mkdirSync(join(parent, name), {mode: 0o700});
    writeFileSync(join(parent, name, 'session.json'), JSON.stringify({...record, name, address: record.address.replace(record.name, name)}));
    return name;
  });
}

function removeSessions(): void {
  rmSync(parent, {recursive: true, force: true});
}

/** As jobbus-run binds it. */
async function lock(name: string): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(`\0jobbus-run/${name}`.padEnd(108, '\0'), () => resolve(server));
  });
}
