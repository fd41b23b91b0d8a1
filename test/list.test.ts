import {mkdirSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {isKeeper} from './helpers/ground.js';
import {fixture, sessionsIn, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {eventually, processesWith} from './helpers/processes.js';
import {anotherLike, editRecord, emptySession, kill, killEverything, withEchoService} from './helpers/sessions.js';

useBench();

interface Listed {
  readonly state: string;
  readonly reason: string;
  readonly job: string | null;
  readonly step: string | null;
  readonly pid: number | null;
  readonly age: number | null;
  readonly processes: number | null;
  readonly command: string | null;
  readonly directory: string;
  readonly bus: string | null;
}

test('--list: a live session, with job, step, pid, age, bus processes, command and directory', async t => {
  const run = t.context.start(['--', fixture('leaves-all')], {environment: {...withEchoService(t.context), SLURM_JOB_ID: '4711', SLURM_STEP_ID: '3'}});
  await run.line(/^ready$/);
  const [directory = ''] = t.context.sessions();
  const ours = processesWith(`XDG_RUNTIME_DIR=${directory}`).filter(view => !isKeeper(view));
  const [session] = await listed(t.context);
  t.like(session, {
    state: 'live',
    job: '4711',
    step: '3',
    pid: run.pid,
    processes: ours.length,
    command: fixture('leaves-all'),
    directory,
    bus: `unix:path=${directory}/bus`,
  });
  t.true(Number.isInteger(session!.age));

  const {code, stdout, stderr} = await t.context.run(['--list']);
  const [heading, ...lines] = stdout.split('\n');
  t.is(code, 0);
  t.is(stderr, '');
  t.deepEqual(heading!.split(/ {2,}/), ['STATE', 'JOB', 'STEP', 'PID', 'AGE', 'PROCESSES', 'SHARED', 'COMMAND', 'DIRECTORY']);
  const cells = lines.filter(line => line.endsWith(directory)).map(line => line.split(/ {2,}/));
  t.is(cells.length, 1);
  t.regex(cells[0]!.splice(4, 1)[0]!, /^\d\d:\d\d:\d\d$/);
  t.deepEqual(cells[0], ['live', '4711', '3', String(run.pid), String(ours.length), '-', fixture('leaves-all'), directory]);
  await ended(run);
});

test('--list: a dead session, one of another version, and one without a record', async t => {
  const dead = await emptySession(t.context);
  const [alien, unrecorded] = [anotherLike(dead, 'a'), anotherLike(dead, 'b')];
  editRecord(alien, {format: 99});
  rmSync(join(unrecorded, 'session.json'));
  const all = await listed(t.context);
  const of = (directory: string): Listed | undefined => all.find(session => session.directory === directory);
  t.like(of(dead), {state: 'dead', reason: 'its process is gone', processes: 0});
  t.like(of(alien), {state: 'elsewhere', reason: 'of another version of jobbus-run', pid: null, processes: null, command: null});
  t.like(of(unrecorded), {state: 'dead', reason: 'its lock is free, and it has no record', pid: null, age: null, bus: null});
  t.is(all.length, 3);
  rmSync(join(dead, '..'), {recursive: true});
});

test('--list: what a job, a step, a command and a directory are called can do nothing to a terminal, and JSON keeps it', async t => {
  const hostile = 'a\u001B[2J\u009B2Jb\r\nlive  1\u202E\u2028\u0007\u007F\u{E0041}\u{100000}é\\u0041';
  const base = join(t.context.base, '\u001B[2J\u009B\u202E\u2028\n');
  mkdirSync(base);
  const environment = {JOBBUS_RUNTIME_BASE: base, SLURM_JOB_ID: hostile, SLURM_STEP_ID: hostile};
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null', hostile], {environment});
  await run.line(/^ready$/);
  const [table, json] = await Promise.all([['--list'], ['--list', '--json']].map(async words => (await t.context.run(words, {environment})).stdout)) as [string, string];
  for (const text of [table, json]) {
    t.notRegex(text.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
  }

  t.is(table.split('\n').filter(line => line.includes('a?[2J?2Jb??live  1??????é')).length, 1);
  const [session] = (JSON.parse(json) as Listed[]).filter(({pid}) => pid === run.pid);
  t.true(session!.directory.startsWith(`${base}/jobbus-`));
  t.like(session, {job: hostile, step: hostile, command: `sh -c echo ready; exec tail -f /dev/null ${hostile}`});
  await ended(run);
  await eventually('the keeper to remove the session', () => sessionsIn(base).length === 0);
});

test('--sweep says what it has swept in one printable line, whatever its directory is called', async t => {
  const base = join(t.context.base, '\u001B[2J\u009B\u202E\u2028\n');
  mkdirSync(base);
  const environment = {JOBBUS_RUNTIME_BASE: base, JOBBUS_TEST_HOSTILE: t.context.mark};
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null'], {environment});
  await run.line(/^ready$/);
  await killEverything(`JOBBUS_TEST_HOSTILE=${t.context.mark}`);
  await run.result;
  const {stdout} = await t.context.run(['--sweep'], {environment});
  t.notRegex(stdout.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
  t.is(stdout.split('\n').filter(line => line.startsWith(`${t.context.base}/?[2J????/jobbus-`) && line.endsWith(': dead (its process is gone); removed')).length, 1);
});

test('--list where there is no session names none, and as JSON it is a list without one', async t => {
  const empty = join(t.context.base, 'empty');
  mkdirSync(empty);
  const environment = {JOBBUS_RUNTIME_BASE: empty};
  const {stdout} = await t.context.run(['--list'], {environment});
  t.false(stdout.includes(`${t.context.base}/`));
  const sessions = JSON.parse((await t.context.run(['--list', '--json'], {environment})).stdout) as Array<{directory: string}>;
  t.deepEqual(sessions.filter(({directory}) => directory.startsWith(t.context.base)), []);
});

test('a home that is none, or out of reach, does not keep --list from the others', async t => {
  const file = join(t.context.base, 'file');
  writeFileSync(file, '');
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  for (const home of [file, '/root', '/nowhere', '/proc/1/cwd']) {
    const {code, stdout, stderr} = await t.context.run(['--list'], {environment: {HOME: home, TMPDIR: join(file, 'below')}});
    t.deepEqual([code, stderr], [0, '']);
    t.regex(stdout, new RegExp(`^live .* ${run.pid} `, 'm'));
  }

  await ended(run);
});

test('--list tells of a session once, also where two paths lead to it', async t => {
  const link = join(t.context.base, 'link');
  symlinkSync(t.context.base, link);
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  const {stdout} = await t.context.run(['--list'], {environment: {TMPDIR: link}});
  t.is(stdout.split('\n').filter(line => line.includes(t.context.sessions()[0]!.split('/').at(-1)!)).length, 1);
  await ended(run);
});

test('--list finds no sessions where there is a file instead of their parent', async t => {
  writeFileSync(join(t.context.base, `jobbus-${process.getuid!()}`), '');
  t.deepEqual(await listed(t.context), []);
  rmSync(join(t.context.base, `jobbus-${process.getuid!()}`));
});

/** The sessions of this bench. */
async function listed(bench: Bench): Promise<Listed[]> {
  const {stdout} = await bench.run(['--list', '--json']);
  return (JSON.parse(stdout) as Listed[]).filter(({directory}) => directory.startsWith(`${bench.base}/`));
}

async function ended(run: Run): Promise<void> {
  kill(run.pid);
  await run.result;
}
