import {randomBytes} from 'node:crypto';
import {readFileSync, rmSync} from 'node:fs';
import {basename, join} from 'node:path';
import {lockedNames} from '../src/session/lock-table.js';
import {engine, engineWords} from './helpers/engine.js';
import {fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';

useBench();

/** Takes the locks with these names, and holds them; or says why it cannot, and ends. */
const TAKES_LOCKS = `const locks = process.argv.slice(1).map(takeLock);
  const failed = locks.find(({ok}) => !ok);
  console.log(failed === undefined ? 'bound' : failed.failure.reason);
  if (failed === undefined) run(new Promise(() => {}));`;

function takeLocks(bench: Bench, ...names: readonly string[]): Run {
  return bench.start(engineWords({'session/lock': 'takeLock'}, TAKES_LOCKS, ...names), {program: engine});
}

async function holding(bench: Bench, ...names: readonly string[]): Promise<Run> {
  const holder = takeLocks(bench, ...names);
  await holder.line(/^bound$/);
  return holder;
}

async function end({child, result}: Run): Promise<void> {
  child.kill('SIGKILL');
  await result;
}

test('a lock is seen among so many sockets that the kernel lists them on several pages', async t => {
  const names = Array.from({length: 200}, () => `lock-${randomBytes(6).toString('hex')}`);
  const holder = await holding(t.context, ...names);
  const locked = lockedNames();
  t.deepEqual(names.filter(name => !locked.has(name)), []);
  await end(holder);
});

interface Listed {
  readonly state: string;
  readonly reason: string;
  readonly directory: string;
}

test('a session is seen live by its lock alone, and swept by nobody', async t => {
  const run = t.context.start(['--', fixture('asks-bus-at-term')]);
  await run.line(/^ready$/);
  const [directory = ''] = t.context.sessions();
  rmSync(join(directory, 'session.json'));
  // As older versions have it, and look for it.
  t.is(lockOf(directory), `@jobbus-run/${basename(directory)}`.padEnd(108, '@'));
  const found = (JSON.parse((await t.context.run(['--list', '--json'])).stdout) as Listed[]).find(session => session.directory === directory);
  t.like(found, {state: 'live', reason: 'its lock is held'});
  await t.context.run(['--sweep']);
  t.like(await t.context.run(['--', 'true']), {code: 0, stderr: ''});
  run.child.kill('SIGTERM');
  t.like(await run.result, {code: 0, stderr: ''});
});

test('a name that is bound cannot be bound again until its holder is gone', async t => {
  const name = basename(t.context.base);
  const holder = await holding(t.context, name);
  t.like(await takeLocks(t.context, name).result, {code: 0, stdout: 'EADDRINUSE\n'});
  await end(holder);
  await end(await holding(t.context, name));
  t.pass();
});

const CONNECTS = String.raw`require('net').connect(('\0jobbus-run/' + process.argv[1]).padEnd(108, '\0'), () => console.log('connected') ?? process.exit())
  .once('error', ({code}) => console.log(code));`;

test('nobody can connect to a lock, and so nobody can burden who holds it', async t => {
  const holder = await holding(t.context, basename(t.context.base));
  t.is((await t.context.run(['--eval', CONNECTS, basename(t.context.base)], {program: process.execPath})).stdout, 'ECONNREFUSED\n');
  await end(holder);
});

/** The session's name as the kernel shows it, which has @ for NUL. */
function lockOf(directory: string): string | undefined {
  const names = readFileSync('/proc/net/unix', 'latin1').split('\n').map(line => line.split(' ').at(-1)!);
  return names.find(name => name.startsWith(`@jobbus-run/${basename(directory)}`));
}
