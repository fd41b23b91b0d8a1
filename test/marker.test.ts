/** What shows that a directory is one of ours: nothing else is emptied, whatever it is called. */

import {chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {binary, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {NOBODY} from './helpers/nobody.js';
import {eventually, isRunning} from './helpers/processes.js';
import {emptySession, keeperOf, killed, linesOf, nothingLeft, sweptLines} from './helpers/sessions.js';

useBench();

const RECORD = 'session.json';
const MARKER = '.jobbus-run';

/** A dead session, of which these files are left, and a directory of another program's. */
async function remainder(bench: Bench, files: readonly string[]): Promise<string> {
  const directory = await emptySession(bench);
  readdirSync(directory).filter(name => !files.includes(name)).forEach(name => rmSync(join(directory, name), {recursive: true}));
  mkdirSync(join(directory, 'results'));
  writeFileSync(join(directory, 'results/measured'), '42');
  return directory;
}

test('the marker is made before all else, and goes after all else', async t => {
  const trace = join(t.context.base, 'trace');
  await t.context.run(['-D', '-y', '-o', trace, '-e', 'trace=mkdir,openat,unlink,rmdir', binary, '--', 'sh', '-c', 'echo x >"$XDG_RUNTIME_DIR/file"'], {program: 'strace'});
  const calls = await eventually('the whole trace', () => {
    const text = existsSync(trace) ? readFileSync(trace, 'utf8') : '';
    return /^\+\+\+ exited/m.test(text) && text.split('\n').filter(line => / = \d/.test(line));
  });
  const made = calls.filter(line => /^mkdir|O_CREAT/.test(line) && line.includes('/nojob-'));
  t.regex(made[0]!, /^mkdir\("[^"]*\/nojob-[a-z2-7]{16}"/);
  t.regex(made[1]!, /^openat\([^"]*"[^"]*\/\.jobbus-run", O_WRONLY\|O_CREAT\|O_EXCL/);
  const gone = calls.filter(line => /^unlink|^rmdir/.test(line)).map(line => basename(/"([^"]*)"/.exec(line)![1]!));
  t.true(gone.slice(0, -4).includes('file'), gone.join(' '));
  t.deepEqual(gone.slice(-4, -2), [RECORD, MARKER]);
  t.regex(gone.at(-2)!, /^nojob-/);
});

for (const [what, files] of [['the marker alone', [MARKER]], ['the record alone, as of an older version', [RECORD]]] as const) {
  test(`with ${what}, a dead session is swept with all that it holds`, async t => {
    const directory = await remainder(t.context, files);
    t.true((await t.context.run(['--sweep'])).stdout.includes(`${directory}: dead (`));
    t.false(existsSync(directory));
  });
}

test('with a record that is spoiled, the marker counts', async t => {
  const directory = await remainder(t.context, [MARKER]);
  writeFileSync(join(directory, RECORD), '{');
  t.is((await t.context.run(['--', 'true'])).stderr, '');
  // The sweep beside a run is nobody's to wait for.
  await eventually('the session to be swept', () => !existsSync(directory));
});

test('one whose maker was killed before it could mark it is empty, and goes', async t => {
  const directory = await emptySession(t.context);
  const empty = join(dirname(directory), basename(directory).replace(/-.{4}/, '-aaaa'));
  mkdirSync(empty, {mode: 0o700});
  t.is((await t.context.run(['--', 'true'])).stderr, '');
  await eventually('the session to be swept', () => !existsSync(empty));
});

for (const [what, spoil] of [
  ['neither', () => undefined],
  ['a directory in its place', (marker: string) => mkdirSync(marker)],
  ['a link in its place', (marker: string) => symlinkSync('/dev/null', marker)],
] as const) {
  test.serial(`with neither record nor marker, but ${what === 'neither' ? 'with something in it' : what}, nothing is touched, by whatever sweeps`, async t => {
    const directory = await remainder(t.context, []);
    spoil(join(directory, MARKER));
    await isUntouched(t.context, directory);
    t.is(readFileSync(join(directory, 'results/measured'), 'utf8'), '42');
    rmSync(dirname(directory), {recursive: true});
  });
}

needsRoot("another user's marker is none", async t => {
  const directory = await remainder(t.context, []);
  writeFileSync(join(directory, MARKER), '');
  chownSync(join(directory, MARKER), Number(NOBODY), Number(NOBODY));
  await isUntouched(t.context, directory);
  t.true(existsSync(join(directory, 'results/measured')));
  rmSync(dirname(directory), {recursive: true});
});

test('under the name of a sweeper that is gone, nothing is touched that nothing shows to be ours', async t => {
  const directory = await remainder(t.context, []);
  const claimed = `${directory}~4026531836.1073741824.1.aaaaaaaa`;
  renameSync(directory, claimed);
  t.deepEqual(await sweptLines(t.context), []);
  t.true(existsSync(join(claimed, 'results/measured')));
  rmSync(dirname(directory), {recursive: true});
});

test('where the command has emptied its directory of all, and filled it anew, a clean end leaves nothing', async t => {
  const refill = 'rm -rf "$XDG_RUNTIME_DIR"; mkdir -p "$XDG_RUNTIME_DIR/dconf"; echo x >"$XDG_RUNTIME_DIR/dconf/user"';
  t.like(await t.context.run(['--', 'sh', '-c', refill]), {code: 0, stderr: ''});
  t.deepEqual(t.context.sessions(), []);
});

test('and after kill -9 the keeper, which knows whose it is, leaves nothing', async t => {
  const run = t.context.start(['--', 'sh', '-c', 'rm -rf "$XDG_RUNTIME_DIR"; mkdir "$XDG_RUNTIME_DIR"; echo x >"$XDG_RUNTIME_DIR/file"; echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  const keeper = await keeperOf(t.context);
  await killed(run);
  await eventually('the keeper to be done', () => !isRunning(keeper.pid));
  await nothingLeft(t.context.mark, t.context.base);
  t.pass();
});

test('what is put into an empty one as it is swept stays, and is told', async t => {
  const directory = await emptySession(t.context);
  readdirSync(directory).forEach(name => rmSync(join(directory, name), {recursive: true}));
  // Saves under the name that it knows: the sweep lets it, for its second.
  const script = 'trap \'echo 42 >"$XDG_RUNTIME_DIR/saved"; exit\' TERM; echo ready; while :; do sleep 0.02; done';
  const saver = t.context.start(['-c', script], {program: 'sh', environment: {XDG_RUNTIME_DIR: directory}});
  await saver.line(/^ready$/);
  const {code, stdout} = await t.context.run(['--sweep']);
  await saver.result;
  const [left = ''] = t.context.sessions();
  t.deepEqual(linesOf(t.context, stdout), [
    `${directory}: dead (its lock is free, and it has no record); not all could be removed: removing ${left} failed: directory not empty, and nothing in it shows that jobbus-run made it; remove it by hand`,
  ]);
  t.is(code, 1);
  t.is(readFileSync(join(left, 'saved'), 'utf8'), '42\n');
  t.deepEqual(await sweptLines(t.context), []);
  rmSync(dirname(directory), {recursive: true});
});

/** It is told by --list, and stays as it is under all that sweeps. Throws otherwise. */
async function isUntouched(bench: Bench, directory: string): Promise<void> {
  for (const words of [['--sweep'], ['--sweep', directory], ['--', 'true']]) {
    const {code, stdout, stderr} = await bench.run(words);
    if (code !== 0 || linesOf(bench, stdout).length > 0 || stderr !== '') {
      throw new Error(`${words.join(' ')} ended with ${code}: ${stdout}${stderr}`);
    }
  }

  const {stdout} = await bench.run(['--list', '--json']);
  const found = (JSON.parse(stdout) as Array<{state: string; reason: string; directory: string}>).find(session => session.directory === directory);
  if (found?.state !== 'elsewhere' || found.reason !== 'nothing in it shows that jobbus-run made it') {
    throw new Error(`It was listed as ${JSON.stringify(found)}`);
  }
}
