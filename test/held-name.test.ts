/** A name that somebody else has bound, and an owner that proves nothing: neither keeps what a dead session has left. */

import {existsSync, readFileSync, rmSync} from 'node:fs';
import {basename, join} from 'node:path';
import {placeLetters} from '../src/session/name.js';
import {whereabouts, type Reading} from '../src/session/record.js';
import {judge, type Evidence} from '../src/session/judgement.js';
import {buildAltered} from './helpers/engine.js';
import {fixture, needsRoot, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {NOBODY} from './helpers/nobody.js';
import {editRecord, emptySession, kill, linesOf, sweptLines} from './helpers/sessions.js';

useBench();

/** The program with a clock that is a little more than a minute ahead. @returns its launcher */
function aMinuteLater({base}: Bench): string {
  return buildAltered(join(base, 'later'), [{file: 'session/sessions.ts', part: /(?<=const age = )Date\.now\(\)/, instead: 'Date.now() + 61_000'}]);
}

/** As a neighbour, holds the name of a session of which nothing runs any more, and whose record is gone. */
async function heldSession(bench: Bench): Promise<{directory: string; neighbour: Run}> {
  const directory = await emptySession(bench);
  rmSync(join(directory, 'session.json'));
  const neighbour = bench.start([NOBODY, basename(directory)], {program: fixture('binds-lock')});
  await neighbour.line(/^bound$/);
  return {directory, neighbour};
}

needsRoot('a neighbour who binds the name of a dead session without a record does not keep it for longer than a minute', async t => {
  const {directory, neighbour} = await heldSession(t.context);
  t.deepEqual(await sweptLines(t.context), []);
  t.true(existsSync(directory), 'it may be one that is just being made');
  const {code, stdout, stderr} = await t.context.run(['--sweep'], {program: aMinuteLater(t.context)});
  t.deepEqual(linesOf(t.context, stdout), [`${directory}: dead (its processes are gone); removed`]);
  t.deepEqual([code, stderr], [0, '']);
  kill(neighbour.pid);
  await neighbour.result;
});

needsRoot('as long as a process bears the name, a session whose lock is held lives, record or not', async t => {
  const {directory, neighbour} = await heldSession(t.context);
  const process = t.context.start(['1000'], {program: 'sleep', environment: {XDG_RUNTIME_DIR: directory}});
  t.deepEqual(await sweptLines(t.context, {program: aMinuteLater(t.context)}), []);
  kill(process.pid);
  await process.result;
  t.deepEqual(await sweptLines(t.context, {program: aMinuteLater(t.context)}), [`${directory}: dead (its processes are gone); removed`]);
  kill(neighbour.pid);
  await neighbour.result;
});

test('a run lives on without its record, a minute later too', async t => {
  const run = t.context.start(['--', fixture('asks-bus-at-term')]);
  await run.line(/^ready$/);
  rmSync(join(t.context.sessions()[0]!, 'session.json'));
  t.deepEqual(await sweptLines(t.context, {program: aMinuteLater(t.context)}), []);
  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 0, stderr: ''});
});

test('a record that names the first process of all as its owner keeps nothing', async t => {
  const directory = await emptySession(t.context);
  const stat = readFileSync('/proc/1/stat', 'utf8');
  editRecord(directory, {owner: {pid: 1, startTime: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!}});
  t.deepEqual(await sweptLines(t.context), [`${directory}: dead (its lock is free); removed`]);
  t.false(existsSync(directory));
});

const INITIAL = 'pid:[4026531836]';
const here = {...whereabouts(), pidNamespace: INITIAL};
const none: Reading = {kind: 'none'};
const init: Reading = {
  kind: 'record',
  record: {
    ...here, format: 1, name: 'nojob-x', owner: {pid: 1, startTime: '1'}, daemon: undefined, address: '', job: {identity: [], cgroup: undefined}, step: undefined, command: '', startedAt: 0, stopTimeout: 0, keep: false,
  },
};

function evidence(change: Partial<Evidence>): Evidence {
  return {parsed: {name: 'nojob-x', place: placeLetters(here), claim: undefined}, isLocked: true, onNetwork: false, age: 61_000, reading: none, holding: 'mark', isMentioned: () => false, ...change};
}

for (const [what, change, pidNamespace, state] of [
  ['without a record', {}, INITIAL, 'dead'],
  ['without a record, of an earlier boot', {parsed: {name: 'nojob-x', place: 'aaaaaaaa', claim: undefined}}, INITIAL, 'dead'],
  ['without a record, just made', {age: 59_000}, INITIAL, 'live'],
  ['without a record, borne by a process', {isMentioned: () => true}, INITIAL, 'live'],
  ['without a record, where not all processes can be seen', {}, 'pid:[1]', 'live'],
  ['without a record, claimed', {parsed: {name: 'nojob-x', place: placeLetters(here), claim: {pidNamespace: 'pid:[2]', sweeper: {pid: 7, startTime: '1'}}}}, INITIAL, 'live'],
  ['owned by the first process', {reading: init}, INITIAL, 'dead'],
  ['owned by the first process, borne by a process', {reading: init, isMentioned: () => true}, INITIAL, 'live'],
  ['owned by the first process, unlocked', {reading: init, isLocked: false}, INITIAL, 'dead'],
] as const) {
  test(`judgement: a name that is held, ${what}: ${state}`, t => {
    t.is(judge(evidence(change), {...here, pidNamespace}).state, state);
  });
}
