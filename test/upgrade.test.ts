/** The program is replaced and removed while sessions live: they end as they should, and so does one whose supervisor can no longer be started. */

import {execFileSync} from 'node:child_process';
import {chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {onExit} from 'signal-exit';
import {engine} from './helpers/engine.js';
import {binary, installInto} from './helpers/ground.js';
import {fixture, project, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {environmentOf, eventually, processesWith} from './helpers/processes.js';
import {kill, killed, withEchoService} from './helpers/sessions.js';
import {SHELLS} from './helpers/shells.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

/** As long, for it is exchanged in the launcher's bytes. */
const otherVersion = version.replace(/\d/g, digit => String(9 - Number(digit)));

let otherTree: string | undefined;

onExit(() => {
  if (otherTree !== undefined) {
    rmSync(otherTree, {recursive: true});
  }
});

/** A tree of another version, made once. @returns a copy that may be changed and removed */
function copyOther(to: string): void {
  if (otherTree === undefined) {
    otherTree = mkdtempSync(join(tmpdir(), 'jbt-other-'));
    mkdirSync(join(otherTree, 'bin'));
    writeFileSync(join(otherTree, 'bin/jobbus-run'), readFileSync(binary, 'latin1').replaceAll(`${version}\0`, `${otherVersion}\0`), {encoding: 'latin1', mode: 0o755});
    mkdirSync(join(otherTree, 'lib/jobbus-run'), {recursive: true});
    execFileSync(engine, ['supervisor.js', join(otherTree, 'lib/jobbus-run/supervisor'), otherVersion], {cwd: project});
  }

  execFileSync('cp', ['-al', otherTree, to]);
}

const CHANGES: Readonly<Record<string, (tree: string) => void>> = {
  removed: tree => rmSync(tree, {recursive: true}),
  'replaced by that of another version': tree => {
    renameSync(tree, `${tree}.old`);
    copyOther(tree);
    rmSync(`${tree}.old`, {recursive: true});
  },
};

async function startFrom(bench: Bench, tree: string, words: readonly string[]): Promise<Run> {
  const run = bench.start(['--', ...words], {program: installInto(tree), environment: withEchoService(bench)});
  await run.line(/^ready/);
  return run;
}

for (const [what, change] of Object.entries(CHANGES)) {
  test(`a run whose program is ${what} ends as ever`, async t => {
    const tree = join(t.context.base, 'tree');
    const run = await startFrom(t.context, tree, [fixture('waits-for-term')]);
    change(tree);
    process.kill(run.pid, 'SIGTERM');
    const {code, stdout, stderr} = await run.result;
    t.deepEqual([code, stderr], [143, '']);
    t.regex(stdout, /^ended by TERM$/m);
  });

  test(`after kill -9 of a run whose program is ${what}, nothing is left`, async t => {
    const tree = join(t.context.base, 'tree');
    const run = await startFrom(t.context, tree, [fixture('leaves-all')]);
    change(tree);
    await killed(run);
    await t.context.assertNothingLeft();
    t.pass();
  });

  for (const {name, words, open, status} of SHELLS) {
    test(`${name}: the session of a shell ends with it when the program is ${what}`, async t => {
      const tree = join(t.context.base, 'tree');
      const script = `${open()}\necho ready\n${fixture('waits-for-file')} ${join(t.context.base, 'go')}\necho ended ${status}`;
      const PATH = `${dirname(installInto(tree))}:${t.context.environment.PATH}`;
      const run = t.context.start([...words.slice(1), '-c', script], {program: words[0]!, environment: {PATH}});
      await run.line(/^ready$/);
      change(tree);
      writeFileSync(join(t.context.base, 'go'), '');
      const {code, stdout, stderr} = await run.result;
      t.is(code, 0);
      t.regex(stdout, /^ended 0$/m);
      t.is(stderr, '');
      await eventually('the session to end', () => t.context.sessions().length === 0);
    });
  }
}

test('the launcher of one version says so beside the supervisor of another, whichever is the newer', async t => {
  const [ours, theirs] = [join(t.context.base, 'ours'), join(t.context.base, 'theirs')];
  copyOther(theirs);
  installInto(ours);
  const launchers = [ours, theirs].map(tree => join(tree, 'bin/jobbus-run'));
  renameSync(launchers[0]!, `${launchers[0]!}.ours`);
  renameSync(launchers[1]!, launchers[0]!);
  renameSync(`${launchers[0]!}.ours`, launchers[1]!);
  const expected = [[version, otherVersion], [otherVersion, version]];
  for (const [at, program] of launchers.entries()) {
    const {code, stdout, stderr} = await t.context.run(['--', 'echo', 'started'], {program});
    t.deepEqual([code, stdout], [125, '']);
    t.is(stderr, `jobbus-run: starting the supervisor failed: it is of version ${expected[at]![0]!}, and jobbus-run of ${expected[at]![1]!}; unpack one archive whole\n`);
  }
});

/** A tree of its own: what is done to a file is done to each link. */
function copyInto(tree: string): string {
  ['bin/jobbus-run', 'lib/jobbus-run/supervisor'].forEach(path => cpSync(join(dirname(dirname(binary)), path), join(tree, path)));
  return join(tree, 'bin/jobbus-run');
}

test('a keeper that cannot start its supervisor ends command, services and daemon by itself, spares another job, and leaves the directory to the next sweep', async t => {
  const tree = join(t.context.base, 'tree');
  const other = 'SLURM_JOB_ID=8 setsid tail -f /dev/null >/dev/null 2>&1 &';
  const stopped = 'setsid sh -c \'kill -STOP $$\' >/dev/null 2>&1 &';
  const saving = 'trap "sleep 0.1; touch saved; exit" TERM';
  const saver = `setsid sh -c '${saving}; tail -f /dev/null & touch saves; wait' >/dev/null 2>&1 & until [ -e saves ]; do :; done`;
  const script = `cd ${t.context.base}; ${other} ${stopped} ${saver}; exec ${fixture('leaves-all')}`;
  const run = t.context.start(['--', 'sh', '-c', script], {program: copyInto(tree), environment: {...withEchoService(t.context), SLURM_JOB_ID: '7'}});
  await run.line(/^ready$/);
  const [directory] = t.context.sessions();
  chmodSync(join(tree, 'lib/jobbus-run/supervisor'), 0);
  rmSync(tree, {recursive: true});
  await killed(run);
  const jobs = (): string[] => processesWith(t.context.mark).map(({pid}) => environmentOf(pid).find(entry => entry.startsWith('SLURM_JOB_ID=')) ?? '');
  await eventually(() => `all but the other job to go; there were ${jobs().join(' ')}`, () => jobs().length <= 1);
  t.deepEqual(jobs(), ['SLURM_JOB_ID=8']);
  t.true(existsSync(join(t.context.base, 'saved')), 'TERM came first');
  processesWith(t.context.mark).forEach(({pid}) => kill(pid));
  t.deepEqual(t.context.sessions(), [directory]);
  t.regex((await t.context.run(['--sweep'])).stdout, /: dead .*; removed\n/);
});
