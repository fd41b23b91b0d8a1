import {randomBytes} from 'node:crypto';
import {readFileSync, rmSync} from 'node:fs';
import {basename, join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {lockedNames, takeLock} from '../src/lock.js';
import {fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {nodes} from './helpers/nodes.js';

useBench();

test('a lock is seen among so many sockets that the kernel lists them on several pages', async t => {
  const names = Array.from({length: 200}, () => `lock-${randomBytes(6).toString('hex')}`);
  const locks = await Promise.all(names.map(takeLock));
  t.true(locks.every(({ok}) => ok));
  const locked = lockedNames();
  t.deepEqual(names.filter(name => !locked.has(name)), []);
});

interface Listed {
  readonly state: string;
  readonly reason: string;
  readonly directory: string;
}

test('a session of each version of Node is seen live by every other, by its lock alone, and swept by none', async t => {
  t.timeout(600_000);
  for (const owner of await nodes()) {
    const run = await answering(t.context, owner);
    const [directory = ''] = t.context.sessions();
    rmSync(join(directory, 'session.json'));
    t.is(lockOf(directory), `@jobbus-run/${basename(directory)}`.padEnd(108, '@'));
    for (const other of await nodes()) {
      const environment = {JOBBUS_NODE: other};
      const {stdout} = await t.context.run(['--list', '--json'], {environment});
      const found = (JSON.parse(stdout) as Listed[]).find(session => session.directory === directory);
      t.like(found, {state: 'live', reason: 'its lock is held'}, `${owner}, seen from ${other}`);
      await t.context.run(['--sweep'], {environment});
      t.like(await t.context.run(['--', 'true'], {environment}), {code: 0, stderr: ''});
    }

    run.child.kill('SIGTERM');
    t.like(await run.result, {code: 0, stderr: ''});
  }
});

const product = pathToFileURL(join(import.meta.dirname, '../src/lock.js')).href;

/** For node: takes the lock with that name, says "bound" and waits; or says why it cannot. */
const TAKES_LOCK = `const taken = await (await import('${product}')).takeLock(process.argv[1]);
  console.log(taken.ok ? 'bound' : taken.failure.reason);
  setInterval(() => {}, taken.ok ? 1000 : process.exit());`;

test('a name that is bound under one version of Node can be bound under no other', async t => {
  t.timeout(600_000);
  const versions = await nodes();
  const takesLock = ['--input-type=module', '--eval', TAKES_LOCK, basename(t.context.base)];
  for (const owner of versions) {
    const holder = t.context.start(takesLock, {program: owner});
    t.is(await holder.line(/./), 'bound');
    for (const other of versions) {
      t.is((await t.context.run(takesLock, {program: other})).stdout, 'EADDRINUSE\n');
    }

    holder.child.kill('SIGKILL');
    await holder.result;
  }
});

async function answering(bench: Bench, node: string): Promise<Run> {
  const run = bench.start(['--', fixture('asks-bus-at-term')], {environment: {JOBBUS_NODE: node}});
  await run.line(/^ready$/);
  return run;
}

/** The session's name as the kernel shows it, which has @ for NUL. */
function lockOf(directory: string): string | undefined {
  const names = readFileSync('/proc/net/unix', 'latin1').split('\n').map(line => line.split(' ').at(-1)!);
  return names.find(name => name.startsWith(`@jobbus-run/${basename(directory)}`));
}
