/** In another time namespace, /proc tells other start times of the same processes. */

import {chmodSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {placeLetters} from '../src/session/name.js';
import {statusOf} from '../src/system/processes.js';
import {whereabouts} from '../src/session/record.js';
import {judge} from '../src/session/judgement.js';
import {isJobbusRun} from './helpers/ground.js';
import {binary, fixture, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {eventually, processesWith} from './helpers/processes.js';
import {deadSession, editRecord, kill, stateOf, sweptLines} from './helpers/sessions.js';

useBench();

/** Words for unshare(1), whose children's clocks are a day ahead. */
const DAY_AHEAD = ['--time', '--fork', '--boottime', '86400'];

function wrapperOf({mark}: Bench, word = '--'): number {
  return processesWith(mark).find(view => isJobbusRun(view) && view.words.includes(word))!.pid;
}

needsRoot('a live session of another time namespace is not touched', async t => {
  const run = t.context.start([...DAY_AHEAD, binary, '--', fixture('asks-bus-at-term')], {program: 'unshare'});
  await run.line(/^ready$/);
  t.deepEqual(await sweptLines(t.context), []);
  t.is((await t.context.run(['--', 'true'])).code, 0);
  t.is(await stateOf(t.context, t.context.sessions()[0]!), 'live');
  process.kill(wrapperOf(t.context), 'SIGTERM');
  t.like(await run.result, {code: 0, stderr: ''});
});

needsRoot('a dead session of another time namespace is swept, and its bus answers to the end', async t => {
  const answer = join(t.context.base, 'answer');
  const program = join(t.context.base, 'a-day-ahead');
  writeFileSync(program, `#!/bin/sh\nexec unshare ${DAY_AHEAD.filter(word => word !== '--fork').join(' ')} ${binary} "$@"\n`);
  chmodSync(program, 0o755);
  const save = `trap 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId >${answer}; exit' TERM`;
  const directory = await deadSession(t.context, ['sh', '-c', `${save}; echo ready; tail -f /dev/null & wait`], {program});
  t.deepEqual(await sweptLines(t.context), [`${directory}: dead (its lock is free); removed`]);
  t.regex(readFileSync(answer, 'utf8'), /^\s*[0-9a-f]{32}/);
  t.false(existsSync(directory));
});

needsRoot('what a sweeper of another time namespace is at is its own, until it is gone', async t => {
  const directory = await deadSession(t.context, [fixture('ignores-all-term')]);
  editRecord(directory, {stopTimeout: 999_999});
  const sweeper = t.context.start([...DAY_AHEAD, binary, '--sweep'], {program: 'unshare'});
  const claimed = await eventually('the claim', () => t.context.sessions().find(path => path.startsWith(`${directory}~`)));
  t.is(await stateOf(t.context, claimed), 'live');
  kill(wrapperOf(t.context, '--sweep'));
  await sweeper.result;
  t.is(await stateOf(t.context, claimed), 'dead');
  editRecord(claimed, {stopTimeout: 0});
  t.deepEqual(await sweptLines(t.context), [`${claimed}: dead (its lock is free); removed`]);
});

const here = whereabouts();
const living = statusOf(process.pid)!;
const gone = {pid: 2 ** 30, startTime: '1'};

for (const [whose, timeNamespace] of [['of another time namespace', 'time:[1]'], ['of an older version, which does not tell its time namespace,', undefined]] as const) {
  for (const [owner, isLocked, state] of [[living, false, 'dead'], [gone, true, 'live']] as const) {
    test(`judgement: a record ${whose} with ${owner === living ? 'a living' : 'no'} owner, ${isLocked ? 'locked' : 'unlocked'}: ${state}`, t => {
      const record = {
        ...here, timeNamespace, format: 1 as const, name: 'nojob-x', owner, daemon: undefined, address: '', job: {identity: [], cgroup: undefined}, step: undefined, command: '', startedAt: 0, stopTimeout: 0, keep: false,
      };
      const evidence = {
        parsed: {name: 'nojob-x', place: placeLetters(here), claim: undefined}, isLocked, onNetwork: false, age: 3_600_000, reading: {kind: 'record' as const, record}, holding: 'mark' as const, isMentioned: () => true,
      };
      t.is(judge(evidence, here).state, state);
      // In its own, its process decides, whoever holds its lock.
      t.is(judge({...evidence, reading: {kind: 'record', record: {...record, timeNamespace: here.timeNamespace}}}, here).state, owner === living ? 'live' : 'dead');
    });
  }
}
