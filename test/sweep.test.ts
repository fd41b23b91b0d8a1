import {existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {claimName, placeLetters} from '../src/session/name.js';
import {whereabouts, type Reading, type SessionRecord} from '../src/session/record.js';
import {judge, type Evidence} from '../src/session/judgement.js';
import {statusOf} from '../src/system/processes.js';
import {isJobbusRun} from './helpers/ground.js';
import {binary, fixture, inMountNamespace, needsRoot, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {eventually, isRunning, processesWith} from './helpers/processes.js';
import {asNobody, installFor, NOBODY} from './helpers/nobody.js';
import {anotherLike, deadSession, editRecord, emptySession, kill, linesOf, stateOf, swept, withEchoService} from './helpers/sessions.js';

useBench();

test('--sweep ends and removes a dead session, in one line', async t => {
  const directory = await deadSession(t.context, [fixture('leaves-all')], {environment: withEchoService(t.context)});
  t.true(processesWith(t.context.mark).length > 4);
  const {code, stdout} = await t.context.run(['--sweep']);
  t.deepEqual(linesOf(t.context, stdout), [`${directory}: dead (its process is gone); removed`]);
  t.is(code, 0);
  await t.context.assertNothingLeft();
  t.deepEqual(linesOf(t.context, (await t.context.run(['--sweep'])).stdout), []);
});

test('of several dead sessions, each is ended with what it has left', async t => {
  const empty = await emptySession(t.context);
  const [one, other] = [anotherLike(empty, 'a'), anotherLike(empty, 'b')];
  const left = [{XDG_RUNTIME_DIR: one}, {DBUS_SESSION_BUS_ADDRESS: `unix:path=${other}/bus,guid=0`}].map(environment => t.context.start(['-f', '/dev/null'], {program: 'tail', environment}));
  const {code, stdout, stderr} = await t.context.run(['--sweep']);
  t.deepEqual(linesOf(t.context, stdout).sort(), [empty, one, other].map(directory => `${directory}: dead (its process is gone); removed`).sort());
  t.deepEqual([code, stderr], [0, '']);
  t.deepEqual((await Promise.all(left.map(async ({result}) => result))).map(({signal}) => signal), ['SIGTERM', 'SIGTERM']);
});

test('a session that a run claims for a sweeper that is looking is swept', async t => {
  const directory = await emptySession(t.context);
  const trace = join(t.context.base, 'trace');
  const tracing = ['-o', trace, '-P', dirname(directory), '-e', 'trace=getdents64', '-e', 'inject=getdents64:signal=STOP:when=1', binary];
  const sweep = t.context.start([...tracing, '--sweep'], {program: 'strace'});
  await eventually('the sweeper to have read the names', () => existsSync(trace) && readFileSync(trace, 'utf8').includes('--- stopped by SIGSTOP ---\n'));
  const sweeper = processesWith(t.context.mark).find(isJobbusRun)!;
  const claimed = claimName(basename(directory), whereabouts(), statusOf(sweeper.pid)!);
  renameSync(directory, join(dirname(directory), claimed));
  symlinkSync(claimed, directory);
  process.kill(sweeper.pid, 'SIGCONT');
  const {code, stdout} = await sweep.result;
  t.deepEqual([code, linesOf(t.context, stdout)], [0, [`${join(dirname(directory), claimed)}: dead (its process is gone); removed`]]);
});

test('the next run sweeps, and says so when asked', async t => {
  const directory = await deadSession(t.context, [fixture('leaves-all')], {environment: withEchoService(t.context)});
  const {code, stderr} = await t.context.run(['-v', '--', 'true']);
  t.is(code, 0);
  t.regex(stderr, new RegExp(`^jobbus-run: process \\d+ sweeps: ${directory} is dead \\(its process is gone\\)$`, 'm'));
  await swept(t.context, directory);
  await t.context.assertNothingLeft();
});

test('the next run sweeps a session that had no time for a record', async t => {
  const directory = await emptySession(t.context);
  rmSync(join(directory, 'session.json'));
  t.is((await t.context.run(['--', 'true'])).stderr, '');
  await swept(t.context, directory);
});

test('a run does not wait for the sweep of what another has left, and that goes on behind its end', async t => {
  const directory = await deadSession(t.context, [fixture('ignores-all-term')]);
  editRecord(directory, {stopTimeout: 999_999});
  t.like(await t.context.run(['--', 'sh', '-c', 'exit 6']), {code: 6, stderr: ''});
  const claims = (): string[] => t.context.sessions().filter(path => path.startsWith(`${directory}~`));
  const sweeper = await eventually('the sweeper', () => processesWith(t.context.mark).find(({words}) => words.includes('--sweep')));
  t.is(sweeper.session, sweeper.pid, 'no signal to the group reaches it');
  // Once by the run for it, and once by itself.
  await eventually('its claim', async () => claims().length === 1 && claims()[0]!.includes(`.${sweeper.pid}.`) && (await stateOf(t.context, claims()[0]!)) === 'live');
  kill(sweeper.pid);
  await eventually('its end', () => !isRunning(sweeper.pid));
  editRecord(claims()[0]!, {stopTimeout: 0});
  await t.context.run(['--sweep']);
});

test.serial('a dead session among many live ones is swept by the next run, and one that a run has claimed is left to its sweeper', async t => {
  const directory = await emptySession(t.context);
  const live = t.context.start(['--', fixture('waits-for-term')]);
  await live.line(/^ready/);
  t.is((await t.context.run(['--', 'true'])).stderr, '');
  await swept(t.context, directory);
  t.is(t.context.sessions().length, 1);
  live.child.kill('SIGTERM');
  await live.result;
});

test.serial('the command begins before a hundred dead sessions are swept', async t => {
  const template = await emptySession(t.context);
  const letters = Array.from('abcdefghij');
  letters.forEach(one => letters.forEach(other => anotherLike(template, `${one}${other}`)));
  const {code, stdout, stderr} = await t.context.run(['--', 'sh', '-c', 'set -- "${XDG_RUNTIME_DIR%/*}"/*; echo $#']);
  t.is(stderr, '');
  t.is(code, 0);
  t.true(Number(stdout) > 2, stdout);
  await t.context.run(['--sweep']);
});

test('a session that is dead in a base of its own is swept by who names the base', async t => {
  const base = join(t.context.base, 'own');
  mkdirSync(base);
  await deadSession(t.context);
  t.regex((await t.context.run(['--sweep'], {environment: {JOBBUS_RUNTIME_BASE: base, TMPDIR: t.context.base}})).stdout, /; removed\n/);
});

test.serial('a hundred sweepers at once do each session once', async t => {
  const template = await emptySession(t.context);
  const directories = [template, ...Array.from('abcdefghi', letter => anotherLike(template, letter))];
  const outputs = await Promise.all(Array.from({length: 100}, async () => t.context.run(['--sweep'])));
  t.deepEqual(outputs.map(({code}) => code).filter(code => code !== 0), []);
  const lines = outputs.flatMap(({stdout}) => linesOf(t.context, stdout));
  t.deepEqual(lines.map(line => line.split(': ')[0]).sort(), directories.sort());
});

test('a live session is not touched', async t => {
  await survivesSweep(t.context, await answering(t.context), 'live');
  t.pass();
});

test('a session whose jobbus-run is stopped is not touched', async t => {
  const run = await answering(t.context);
  process.kill(run.pid, 'SIGSTOP');
  await sweepTwice(t.context);
  process.kill(run.pid, 'SIGCONT');
  await survivesSweep(t.context, run, 'live');
  t.pass();
});

test('a live session on a node with many sockets is not touched', async t => {
  const many = t.context.start([], {program: fixture('binds-many')});
  await many.line(/^bound$/);
  await survivesSweep(t.context, await answering(t.context), 'live');
  kill(many.pid);
  t.pass();
});

test('a live session whose record is gone or spoiled is not touched', async t => {
  for (const spoil of [(file: string) => rmSync(file), (file: string) => writeFileSync(file, '{"format":1,')]) {
    const run = await answering(t.context);
    spoil(join(t.context.sessions()[0]!, 'session.json'));
    await survivesSweep(t.context, run, 'live');
  }

  t.pass();
});

for (const [what, words, state] of [
  ['in another network namespace', ['-n'], 'elsewhere'],
  ['on another host', ['-n', '-u', 'sh', '-c', 'hostname elsewhere; exec "$@"', 'sh'], 'elsewhere'],
  ['on another host of the same name', ['-n', '-u'], 'elsewhere'],
  ['in another pid namespace', ['-p', '-f', '--mount-proc', 'sh', '-c', '"$@"; exit $?', 'sh'], 'live'],
] as const) {
  needsRoot(`a live session ${what} is not touched`, async t => {
    const run = await answering(t.context, {program: 'unshare', words});
    await survivesSweep(t.context, run, state);
    t.pass();
  });
}

for (const [what, words] of [
  ['network namespace', ['-n']],
  ['pid namespace', ['-p', '-f', '--mount-proc']],
] as const) {
  needsRoot(`from another ${what}, a session of the host is not touched, be it live or dead`, async t => {
    const run = await answering(t.context);
    await deadSession(t.context);
    const before = processesWith(t.context.mark).map(({pid}) => pid);
    const {stdout} = await t.context.run([...words, binary, '--sweep'], {program: 'unshare'});
    t.deepEqual(linesOf(t.context, stdout), []);
    t.true(before.every(isRunning));
    t.is(t.context.sessions().length, 2);
    await t.context.run(['--sweep']);
    await survivesSweep(t.context, run, 'live');
  });
}

test('a session of another version is not touched', async t => {
  const directory = await emptySession(t.context);
  editRecord(directory, {format: 2, name: 7});
  await sweepTwice(t.context);
  t.deepEqual(t.context.sessions(), [directory]);
  t.is(await stateOf(t.context, directory), 'elsewhere');
  rmSync(dirname(directory), {recursive: true});
});

needsRoot("a neighbour that has bound a dead session's name does not keep it", async t => {
  const directory = await deadSession(t.context);
  const neighbour = t.context.start([NOBODY, basename(directory)], {program: fixture('binds-lock')});
  await neighbour.line(/^bound$/);
  t.deepEqual(linesOf(t.context, (await t.context.run(['--sweep'])).stdout), [`${directory}: dead (its process is gone); removed`]);
  kill(neighbour.pid);
  await t.context.assertNothingLeft();
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`a sweeper that ${signal} ends half-way is swept in its turn`, async t => {
  const directory = await deadSession(t.context, [fixture('ignores-all-term')]);
  editRecord(directory, {stopTimeout: 999_999});
  const sweeper = t.context.start(['--sweep']);
  const claimed = await eventually('the claim', () => t.context.sessions().find(path => path.startsWith(`${directory}~`)));
  t.is(await stateOf(t.context, claimed), 'live');
  process.kill(sweeper.pid, signal);
  t.is((await sweeper.result).signal, signal);
  t.is(await stateOf(t.context, claimed), 'dead');
  editRecord(claimed, {stopTimeout: 0});
  const words = signal === 'SIGKILL' ? ['--sweep'] : ['--sweep', claimed];
  t.deepEqual(linesOf(t.context, (await t.context.run(words)).stdout), [`${claimed}: dead (its process is gone); removed`]);
  await t.context.assertNothingLeft();
});
}

test('a session of an earlier boot is swept, and nobody ended who has the pid of its daemon now', async t => {
  const directory = await emptySession(t.context);
  const bystander = t.context.start(['1000'], {program: 'sleep'});
  const startTime = readFileSync(`/proc/${bystander.pid}/stat`, 'utf8').split(' ')[21];
  editRecord(directory, {boot: '00000000-1111-2222-3333-444444444444', daemon: {pid: bystander.pid, startTime}});
  t.deepEqual(linesOf(t.context, (await t.context.run(['--sweep'])).stdout), [`${directory}: dead (of an earlier boot); removed`]);
  t.true(isRunning(bystander.pid));
  kill(bystander.pid);
});

test('what --keep has left is no session', async t => {
  const {stderr} = await t.context.run(['--keep', '--', 'true']);
  const [kept = ''] = t.context.sessions();
  t.is(stderr, `jobbus-run: kept ${kept}\n`);
  await sweepTwice(t.context);
  t.true(existsSync(join(kept, 'dbus-daemon.log')));
  rmSync(dirname(kept), {recursive: true});
});

const here = whereabouts();
const there = {boot: '00000000-1111-2222-3333-444444444444', networkNamespace: 'net:[1]', host: 'elsewhere', pidNamespace: 'pid:[1]'};
const INITIAL = 'pid:[4026531836]';
const inside = {...here, pidNamespace: 'pid:[2]'};

for (const [what, change, state] of [
  ['of this boot and namespace', {}, 'dead'],
  ['of this boot, in another network namespace', {networkNamespace: there.networkNamespace}, 'elsewhere'],
  ['of this boot, in a pid namespace below', {pidNamespace: there.pidNamespace}, 'dead'],
  ['of an earlier boot', {boot: there.boot}, 'dead'],
  ['of another boot on a network file system', {boot: there.boot, onNetwork: true}, 'elsewhere'],
  ['of another boot of another host', {boot: there.boot, host: there.host}, 'elsewhere'],
] as const) {
  test(`judgement: unlocked, with a record ${what}: ${state}`, t => {
    t.is(judge(evidence(recording({...inside, ...change}), {onNetwork: 'onNetwork' in change}), inside).state, state);
  });
}

test('judgement: a session of the initial pid namespace, from another one', t => {
  t.is(judge(evidence(recording({...here, pidNamespace: INITIAL})), inside).state, 'elsewhere');
});

for (const [what, place, change, state] of [
  ['of this boot and namespace', here, {}, 'dead'],
  ['of this boot, in another network namespace', {...here, networkNamespace: there.networkNamespace}, {}, 'elsewhere'],
  ['of an earlier boot', there, {}, 'dead'],
  ['of another boot, just made', there, {age: 1000}, 'elsewhere'],
  ['of another boot on a network file system', there, {onNetwork: true}, 'elsewhere'],
  ['locked here', there, {isLocked: true}, 'live'],
] as const) {
  test(`judgement: without a record, ${what}: ${state}`, t => {
    t.is(judge({...evidence({kind: 'none'}, change), parsed: {name: 'nojob-x', place: placeLetters(place), claim: undefined}}, here).state, state);
  });
}

for (const [whose, place, change, state] of [
  ['a sweeper that is gone', here, {}, 'dead'],
  ['a sweeper on another host, whose pid namespace has the same number', there, {onNetwork: true}, 'elsewhere'],
  ['a sweeper that holds its lock, of a session of an earlier boot', there, {isLocked: true}, 'live'],
] as const) {
  test(`judgement: claimed by ${whose}: ${state}`, t => {
    const claim = {pidNamespace: here.pidNamespace, sweeper: {pid: 2 ** 30, startTime: '1'}};
    const reading = recording({boot: place.boot, host: whose.includes('another host') ? 'other' : here.host});
    t.is(judge({...evidence(reading, change), parsed: {name: 'nojob-x', place: placeLetters(place), claim}}, here).state, state);
  });
}

function evidence(reading: Reading, change: Partial<Evidence> = {}): Evidence {
  return {parsed: {name: 'nojob-x', place: placeLetters(here), claim: undefined}, isLocked: false, onNetwork: false, age: 3_600_000, reading, holding: 'mark', isMentioned: () => true, ...change};
}

/** Its owner has a pid that nobody has. */
function recording(change: Partial<SessionRecord>): Reading {
  const owner = {pid: 2 ** 30, startTime: '1'};
  return {kind: 'record', record: {...here, format: 1, name: 'nojob-x', owner, daemon: owner, address: '', job: {identity: [], cgroup: undefined}, step: undefined, command: '', startedAt: 0, stopTimeout: 0, keep: false, ...change}};
}

/** Tells of itself and of whom it works for, and does not end. Nobody has to be quick to see it. */
const HANGS = `#!/bin/sh
cat /proc/$PPID/environ >environment
cat /proc/$PPID/cmdline >words
echo "$PPID $$" >pids
exec tail -f /dev/null
`;

needsRoot('--sweep --uid: one that does not end is killed after ten seconds, and fails nothing', async t => {
  const {base} = t.context;
  writeFileSync(join(base, 'getent'), HANGS.replace('#!/bin/sh', `#!/bin/sh\ncd ${base}`), {mode: 0o755});
  const {program, words} = inMountNamespace(`mount --bind ${base}/getent /usr/bin/getent`);
  const {code, stderr} = await t.context.run([...words, '--sweep', '--uid', NOBODY], {program});
  t.is(stderr, `jobbus-run: sweeping as user ${NOBODY} failed: it was not done within 10 s; see what jobbus-run --list shows that user\n`);
  t.is(code, 0);
  const read = (name: string): string[] => readFileSync(join(base, name), 'utf8').split('\0').slice(0, -1);
  t.true(read('words').includes('--become'));
  t.deepEqual(read('environment').filter(entry => entry.startsWith(':')), [':PATH=/usr/bin:/bin']);
  const pids = readFileSync(join(base, 'pids'), 'utf8').split(' ').map(Number);
  await eventually('all of it to go', () => !pids.some(isRunning));
});

needsRoot('--sweep --uid: a name that cannot be looked up fails nothing', async t => {
  const {program, words} = inMountNamespace('mount --bind /bin/false /usr/bin/getent');
  const {code, stderr} = await t.context.run([...words, '--sweep', '--uid', 'nobody'], {program});
  t.is(stderr, "jobbus-run: sweeping as user nobody failed: getent did not tell that user's number; give the number\n");
  t.is(code, 0);
});

needsRoot('--sweep --uid: an unknown name', async t => {
  const {code, stderr} = await t.context.run(['--sweep', '--uid', 'no-such-user']);
  t.is(stderr, 'jobbus-run: sweeping as user no-such-user failed: there is no such user on this node; check the name\n');
  t.is(code, 125);
});

needsRoot('--sweep --uid: an unknown user', async t => {
  const {code, stderr} = await t.context.run(['--sweep', '--uid', '4294967']);
  t.is(stderr, 'jobbus-run: sweeping as user 4294967 failed: there is no such user on this node; check the number\n');
  t.is(code, 125);
});

/** Words in front of a program: what it starts, it and whatever that starts, is gone after some seconds. */
const ENCLOSED = ['-s', 'KILL', '20', 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child=KILL'];

for (const number of ['4294967295', '4294967296', '42949672960', '+4294967296']) {
  needsRoot(`--sweep --uid: ${number} is no user's number, and what it would be in 32 bits does not count`, async t => {
    const {code, stdout, stderr} = await t.context.run([...ENCLOSED, binary, '--sweep', '--uid', number], {program: 'timeout'});
    t.is(stderr, `jobbus-run: sweeping as user ${number} failed: there is no such user on this node; check the number\n`);
    t.is(stdout, '');
    t.is(code, 125);
  });
}

needsRoot('--sweep --uid: a child that has not become the user starts nothing', async t => {
  const tracing = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=setuid', '-e', 'inject=setuid:retval=0'];
  const {code, stderr} = await t.context.run([...ENCLOSED, ...tracing, binary, '--sweep', '--uid', NOBODY], {program: 'timeout'});
  // strace(1) itself may say that it does not know a process that has ended.
  t.is(stderr.replace(/^strace: .*\n/gm, ''), `jobbus-run: sweeping as user ${NOBODY} failed: becoming that user: this process is still user 0; see whether root may do so here\n`);
  t.is(code, 0);
});

needsRoot('--sweep --uid: an ordinary user may sweep as nobody else', async t => {
  const install = installFor(t.context);
  const words = [...asNobody(install), '--sweep', '--uid', '0'];
  const {code, stderr} = await t.context.run(words, {program: 'setpriv', environment: {}});
  t.is(stderr, 'jobbus-run: sweeping as user 0 failed: only root may; run jobbus-run --sweep as that user\n');
  t.is(code, 125);
});

/** A run whose command asks its bus for its id at TERM, and ends with 0 if there was an answer. */
async function answering(bench: Bench, {program, words}: {program: string; words: readonly string[]} | {program?: never; words?: never} = {}): Promise<Run> {
  const command = ['--', fixture('asks-bus-at-term')];
  const run = program === undefined ? bench.start(command) : bench.start([...words, binary, ...command], {program});
  await run.line(/^ready$/);
  return run;
}

/** Throws unless the session is as it was after sweeps. */
async function survivesSweep(bench: Bench, run: Run, state: string): Promise<void> {
  await sweepTwice(bench);
  const found = await stateOf(bench, bench.sessions()[0]!);
  const wrapper = processesWith(bench.mark).find(isJobbusRun)!;
  process.kill(wrapper.pid, 'SIGTERM');
  const {code, stderr} = await run.result;
  if (found !== state || code !== 0 || stderr !== '') {
    throw new Error(`It was ${found}, and ended with ${code}: ${stderr}`);
  }
}

async function sweepTwice(bench: Bench): Promise<void> {
  await bench.run(['--sweep']);
  await bench.run(['--', 'true']);
}
