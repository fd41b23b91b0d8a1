/** Trees of every shape in a session's directory, and their end. */

import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {resultInEngine} from './helpers/engine.js';
import {fixture, test, useBench, withFault, type Bench} from './helpers/jobbus.js';

useBench();

/** What tells of a session, and goes last. */
const TELLING = ['.jobbus-run', 'session.json'];

async function removing(bench: Bench, what: string, lines: string, directory: string): Promise<unknown> {
  return resultInEngine(bench, {'session/place/removal': what, 'system/loop': 'after'}, lines, directory);
}

const REMOVE = 'const result = run(removeDirectory(process.argv[1]));';

/** Meanwhile, counts the turns of others and the most descriptors that are open. */
const REMOVE_AND_COUNT = `import {readdirSync} from 'node:fs';
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  const result = {turns: 0, most: 0};
  const count = () => {
    result.turns++;
    result.most = Math.max(result.most, open() - before);
    after(1, count);
  };
  after(1, count);
  result.remains = run(removeDirectory(process.argv[1]));`;

/** In memory: what is measured is not a disk. */
function makePlace(t: ExecutionContext<Bench>): string {
  const place = mkdtempSync('/dev/shm/jobbus-test-');
  t.teardown(() => execFileSync('rm', ['-rf', place])); // Node's own would fail at what these tests make.
  return place;
}

function makeTree(directory: string, words: readonly string[]): void {
  mkdirSync(directory);
  try {
    execFileSync(fixture('makes-tree'), words, {env: {...process.env, XDG_RUNTIME_DIR: directory}});
  } catch (error) {
    if ((error as {status: number}).status !== 6) {
      throw error;
    }
  }
}

for (const [what, words] of [
  ['30,000 closed directories in one another', ['30000', '0', '0', '0']],
  ['150,000 files in a directory', ['0', '150000', '0', '0']],
  ['1,000 directories of 150 files', ['0', '0', '1000', '150']],
] as const) {
  test.serial(`${what} are removed, with a few descriptors, and other events have their turn`, async t => {
    const place = makePlace(t);
    const directory = join(place, 'parent/session');
    mkdirSync(join(place, 'parent'));
    makeTree(directory, words);
    const {remains, turns, most} = (await removing(t.context, 'removeDirectory', REMOVE_AND_COUNT, directory)) as {remains: unknown; turns: number; most: number};
    t.deepEqual(remains, []);
    t.deepEqual(readdirSync(place), []);
    t.true(turns > 10, String(turns));
    t.true(most < 64, String(most));
  });
}

test.serial('a command that leaves 30,000 directories in one another ends with its own status, and nothing is left', async t => {
  const place = makePlace(t);
  t.like(await t.context.run(['--', fixture('makes-tree'), '30000', '0', '0', '0'], {environment: {JOBBUS_RUNTIME_BASE: place}}), {code: 6, stderr: ''});
  t.deepEqual(readdirSync(place), []);
});

test('names that are not UTF-8 are removed, deep ones too', async t => {
  const directory = join(t.context.base, 'parent/session');
  const name = Buffer.from([0xff, 0xfe]);
  let path: Buffer = Buffer.from(directory);
  for (let level = 0; level < 40; level++) {
    mkdirSync(path, {recursive: true});
    writeFileSync(Buffer.concat([path, Buffer.from('/f'), name]), '');
    path = Buffer.concat([path, Buffer.from('/'), name]);
  }

  t.deepEqual(await removing(t.context, 'removeDirectory', REMOVE, directory), []);
  t.false(existsSync(join(directory, '..')));
});

test('what tells of a session is not cleared, and goes last', async t => {
  const directory = join(t.context.base, 'parent/session');
  mkdirSync(join(directory, 'other'), {recursive: true});
  TELLING.forEach(name => writeFileSync(join(directory, name), ''));
  await removing(t.context, 'clearDirectory', 'run(clearDirectory(process.argv[1])); const result = null;', directory);
  t.deepEqual(readdirSync(directory).sort(), TELLING);
  t.deepEqual(await removing(t.context, 'removeDirectory', REMOVE, directory), []);
  t.false(existsSync(directory));
});

test('what cannot be removed as long as the daemon is there is removed behind its end', async t => {
  // Once while the directory is cleared, five times and once for the parent while it is removed.
  const {program, words} = withFault('rmdir:error=EBUSY:when=1..7', ['--', 'true']);
  t.like(await t.context.run(words, {program}), {code: 0, stdout: '', stderr: ''});
});

test('what cannot be removed is told in lines of bounded length and number, and what tells of the session stays with it', async t => {
  const long = Array.from({length: 12}, () => 'x'.repeat(200)).join('/');
  const script = `cd "$XDG_RUNTIME_DIR"; mkdir -p ${long}; cd ${long}; touch 1 2 3 4 5 6 7 8 9 10 11 12; exit 6`;
  const {program, words} = withFault('unlink:error=EROFS', ['--', 'sh', '-c', script]);
  const {code, stderr} = await t.context.run(words, {program});
  const lines = stderr.split('\n').slice(0, -1);
  t.is(code, 6);
  t.true(lines.length > 1 && lines.length <= 10, stderr);
  t.true(lines.some(line => /^jobbus-run: removing \S+x… failed: read-only file system; remove it by hand$/.test(line)), stderr);
  t.true(lines.every(line => line.length < 1100), stderr);
  const [directory = ''] = t.context.sessions();
  t.true(TELLING.every(name => existsSync(join(directory, name))));
  rmSync(join(directory, '..'), {recursive: true});
});
