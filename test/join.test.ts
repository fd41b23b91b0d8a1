/** `--join`: a command becomes part of a session that lives. */

import {chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, fixture, needsRoot, test, useBench, withFault, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {environmentOf, eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {anotherLike, deadSession, editRecord, emptySession, kill, killEverything} from './helpers/sessions.js';
import {SHELLS, startShell} from './helpers/shells.js';

useBench();

const WAITS = ['sh', '-c', 'echo ready; exec tail -f /dev/null'];
const ASK = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

interface Session extends Run {
  readonly directory: string;
  /** Has its command end, and waits for the session's end. */
  readonly end: () => Promise<void>;
}

async function session(bench: Bench, options: readonly string[] = [], more: StartOptions = {}): Promise<Session> {
  const before = bench.sessions();
  const run = bench.start([...options, '--', ...WAITS], more);
  await run.line(/^ready$/);
  const directory = bench.sessions().find(path => !before.includes(path))!;
  return {...run, directory, end: async () => {
    process.kill(run.pid, 'SIGTERM');
    await run.result;
  }};
}

test('by directory, job id or pid, a command has the bus of the session, and its own pid and status', async t => {
  const environment = {SLURM_JOB_ID: '4711', OTHER: 'kept', DBUS_STARTER_ADDRESS: 'x'};
  const joined = await session(t.context, [], {environment});
  const script = `echo "$$ $XDG_RUNTIME_DIR $OTHER \${DBUS_STARTER_ADDRESS-none}"; ${ASK}; exit 7`;
  const identities = new Set<string>();
  for (const name of [joined.directory, `${joined.directory}/`, '4711', String(joined.pid)]) {
    const run = t.context.start(['--join', name, '--', 'sh', '-c', script], {environment});
    const {code, stdout, stderr} = await run.result;
    t.deepEqual([code, stderr], [7, ''], name);
    const [line, identity] = stdout.split('\n');
    t.is(line, `${run.pid} ${joined.directory} kept none`);
    identities.add(identity!);
  }

  t.is(identities.size, 1);
  await joined.end();
});

test('a signal does to it what it does to any program, and none that it has blocked is lost', async t => {
  const joined = await session(t.context, [], {environment: {SLURM_JOB_ID: '4712'}});
  const run = t.context.start(['--join', '4712', ...WAITS]);
  await run.line(/^ready$/);
  t.deepEqual(viewProcess(run.pid)?.words, ['tail', '-f', '/dev/null']);
  process.kill(run.pid, 'SIGUSR1');
  t.like(await run.result, {code: null, signal: 'SIGUSR1'});

  // By its job's id: meanwhile others are started, and what comes is read as data.
  const sender = 'use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1, SIGCHLD)); system("kill -USR1 $$"); exec @ARGV';
  const {stdout} = await t.context.run(['-e', sender, binary, '--join', '4712', '--', 'grep', '-E', '^S(hdPnd|igBlk)', '/proc/self/status'], {program: 'perl'});
  t.is(stdout, 'ShdPnd:\t0000000000000200\nSigBlk:\t0000000000010200\n');
  await joined.end();
});

test('what joined ends with the session, whatever it has done to its environment, and what it has started by its marks', async t => {
  const joined = await session(t.context, ['-v']);
  const bare = t.context.start(['--join', joined.directory, 'env', '-i', ...WAITS]);
  const parent = t.context.start(['--join', joined.directory, 'sh', '-c', 'setsid tail -f /dev/null >/dev/null 2>&1 & echo ready']);
  await bare.line(/^ready$/);
  t.is((await parent.result).code, 0);
  const child = processesWith(`XDG_RUNTIME_DIR=${joined.directory}`).find(({words, parent: its}) => words[0] === 'tail' && its !== joined.pid)!;
  await joined.end();
  t.is((await bare.result).signal, 'SIGTERM');
  t.false(isRunning(child.pid));
  t.regex(joined.errors(), new RegExp(`ending tail, process ${bare.pid}, which is left`));
});

test('what joined from another step of the job ends with it, and what names another job lives', async t => {
  const joined = await session(t.context, [], {environment: {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0'}});
  const [step, job] = [['7', '1'], ['8', '0']].map(([SLURM_JOB_ID, SLURM_STEP_ID]) => t.context.start(['--join', joined.directory, ...WAITS], {environment: {SLURM_JOB_ID, SLURM_STEP_ID}}));
  await Promise.all([step!.line(/^ready$/), job!.line(/^ready$/)]);
  await joined.end();
  t.is((await step!.result).signal, 'SIGTERM');
  t.true(isRunning(job!.pid));
  kill(job!.pid);
  await job!.result;
});

test('after kill -9 of jobbus-run, the keeper ends what joined', async t => {
  const joined = await session(t.context);
  const run = t.context.start(['--join', joined.directory, 'env', '-i', ...WAITS]);
  await run.line(/^ready$/);
  kill(joined.pid);
  t.is((await run.result).signal, 'SIGTERM');
  await joined.result;
});

test('who has joined and is not yet the command when the session ends does not become it', async t => {
  const joined = await session(t.context);
  // The first execution that counts is the engine's, the second the gate's; microseconds.
  const {program, words} = withFault('execve:delay_enter=10000000:when=2', ['--join', joined.directory, 'echo', 'ran']);
  const run = t.context.start(words, {program});
  await eventually('it to have joined', () => readFileSync(join(joined.directory, '.jobbus-run'), 'utf8').includes(`guest ${run.pid} `));
  await joined.end();
  t.like(await run.result, {stdout: '', signal: 'SIGKILL'});
});

test('a session that is ending cannot be joined', async t => {
  const run = t.context.start(['--stop-timeout', '60', '--', 'sh', '-c', `${fixture('ignores-term')} & exec tail -f /dev/null`]);
  await run.line(/^ready/);
  const [directory = ''] = t.context.sessions();
  process.kill(run.pid, 'SIGTERM');
  await eventually('it to end', async () => (await t.context.run(['--join', directory, 'true'])).code === 125);
  t.like(await t.context.run(['--join', directory, 'echo', 'ran']), {code: 125, stdout: '', stderr: `jobbus-run: joining "${directory}" failed: it is ending; start another\n`});
  processesWith(`XDG_RUNTIME_DIR=${directory}`).filter(({words}) => words.some(word => word.endsWith('ignores-term'))).forEach(({pid}) => kill(pid));
  await run.result;
});

test('one that is dead, of no such name, ambiguous, of another host or version, or without a record: a line each, and nothing is started', async t => {
  const environment = {SLURM_JOB_ID: '4713'};
  const refused = async (name: string, problem: string | RegExp): Promise<void> => {
    const {code, stdout, stderr} = await t.context.run(['--join', name, 'echo', 'ran']);
    t.deepEqual([code, stdout], [125, ''], name);
    t.regex(stderr, /^jobbus-run: joining [^\n]* failed: [^\n]*; [^\n]*\n$/);
    t.regex(stderr, typeof problem === 'string' ? new RegExp(` failed: ${problem}\n$`) : problem);
  };
  const dead = await emptySession(t.context, {environment});
  await refused(dead, String.raw`it is dead \(its process is gone\); start another`);
  await refused('4713', String.raw`it is dead \(its process is gone\); start another`);
  const [alien, host, unrecorded] = ['a', 'b', 'c'].map(letter => anotherLike(dead, letter)) as [string, string, string];
  editRecord(alien, {format: 99});
  editRecord(host, {boot: 'another', host: 'node7'});
  rmSync(join(unrecorded, 'session.json'));
  await refused(alien, 'it is out of reach: of another version of jobbus-run; join it where it runs');
  await refused(host, 'it is out of reach: of another boot, on host node7; join it where it runs');
  rmSync(dirname(dead), {recursive: true});

  for (const [name, problem] of [['nonsense', 'you have no such session'], ['99999999', 'you have no such session'], ['/nowhere/jobbus-0/x', 'you have no such session'], [t.context.base, 'it is not the directory of a session'], ['a\nb\u001B[2J', 'you have no such'], ['x'.repeat(4096), 'you have no such']] as const) {
    await refused(name, new RegExp(` failed: ${problem}`));
  }

  const [one, other] = [await session(t.context, [], {environment}), await session(t.context, [], {environment})];
  await refused('4713', new RegExp(`it may be each of ${[one, other].map(({directory}) => `(${one.directory}|${other.directory})`.replace(directory, directory)).join(', ')}; name one of these`));
  rmSync(join(one.directory, 'session.json'));
  await refused(one.directory, 'it has no record: it is being made, or its command has removed that; try again');
  kill(processesWith(`XDG_RUNTIME_DIR=${other.directory}`).find(({words}) => words[0]?.endsWith('dbus-daemon') === true)!.pid);
  await other.errorLine(/has died/);
  await refused(other.directory, 'its bus does not answer: .*; start another');
  await Promise.all([one.end(), other.end()]);
});

needsRoot('of another user, nobody joins one: it is not seen', async t => {
  const joined = await session(t.context);
  const launcher = installFor(t.context);
  for (const [name, mode] of [[joined.directory, 0o700], [joined.directory, 0o711], [String(joined.pid), 0o711]] as const) {
    chmodSync(dirname(joined.directory), mode);
    const {code, stdout, stderr} = await t.context.run(asNobody(launcher, '--join', name, 'echo', 'ran'), {program: 'setpriv'});
    t.deepEqual([code, stdout], [125, '']);
    t.regex(stderr, /^jobbus-run: joining "[^\n]*" failed: (it belongs to another user; join one of yours,|you have no such session on this node;) see jobbus-run --list\n$/);
  }

  await joined.end();
});

test('a command that cannot be executed gives 126 or 127, and one line', async t => {
  const joined = await session(t.context);
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(t.context.base, name), content, {mode: 0o755});
    return join(t.context.base, name);
  };
  const cases: ReadonlyArray<readonly [command: string, code: number, line: RegExp]> = [
    ['nonsuch', 127, /command not found/],
    ['/etc', 126, /it is a directory/],
    [file('script', '#!/none\n'), 127, /its interpreter "\/none" does not exist; name in its first line one that does/],
    [file('foreign', Buffer.from('7f454c4602010100', 'hex')), 126, /it is made for another machine/],
    [file('binary', 'a\0b'), 126, /it is neither a program nor a script/],
  ];
  for (const [command, code, line] of cases) {
    const result = await t.context.run(['--join', joined.directory, command]);
    t.deepEqual([result.code, result.stdout], [code, ''], command);
    t.regex(result.stderr, /^jobbus-run: running [^\n]* failed: [^\n]*\n$/);
    t.regex(result.stderr, line);
  }

  t.like(await t.context.run(['--join', joined.directory, file('lines', 'echo "$0 $1"'), 'word']), {code: 0, stdout: `${join(t.context.base, 'lines')} word\n`});
  await joined.end();
});

test('with --bus-only, there and here, XDG_RUNTIME_DIR stays', async t => {
  const [whole, bus] = [await session(t.context), await session(t.context, ['--bus-only'])];
  const environment = {XDG_RUNTIME_DIR: '/run/mine'};
  const show = ['sh', '-c', 'echo "$XDG_RUNTIME_DIR"'];
  t.is((await t.context.run(['--join', bus.directory, ...show], {environment})).stdout, '/run/mine\n');
  t.is((await t.context.run(['--bus-only', '--join', whole.directory, ...show], {environment})).stdout, '/run/mine\n');
  t.is((await t.context.run(['--join', whole.directory, ...show], {environment})).stdout, `${whole.directory}\n`);
  await Promise.all([whole.end(), bus.end()]);
});

for (const shell of SHELLS) {
  const [syntax, form] = shell.name === 'tcsh' ? ['--csh-syntax', (words: string) => `eval \`${words}\``] : shell.name === 'fish' ? ['--fish-syntax', (words: string) => `${words} | source`] : ['', (words: string) => `eval "$(${words})"`];

  test(`${shell.name} evaluates the variables, and what it starts then ends with the session; a failure is one there, too`, async t => {
    const base = join(t.context.base, "it's a base");
    mkdirSync(base);
    const joined = t.context.start(['--runtime-base', base, '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null']);
    const directory = await joined.line(/^\//);
    const script = `${form(`jobbus-run ${syntax} --join $DIRECTORY:q`.replace('$DIRECTORY:q', shell.name === 'tcsh' ? '$DIRECTORY:q' : '"$DIRECTORY"'))}; echo "$XDG_RUNTIME_DIR"; ${ASK}; echo; sh -c 'echo child; exec tail -f /dev/null'; echo ended`;
    const run = startShell(t.context, shell, script, {environment: {DIRECTORY: directory, DBUS_SESSION_BUS_PID: '1'}});
    await run.line(/^child$/);
    t.is(run.output().split('\n')[0], directory);
    process.kill(joined.pid, 'SIGTERM');
    await joined.result;
    await run.line(/^ended$/);
    await run.result;
    const failing = await startShell(t.context, shell, `${form(`jobbus-run ${syntax} --join nonsense`)}; echo "status ${shell.status}"`).result;
    t.is(failing.stdout, 'status 1\n');
  });
}

test('what its caller has handed down the command alone has: nothing of ours is beside it, or in it', async t => {
  const joined = await session(t.context);
  const environment = {JOBBUS_TEST_JOINED: t.context.mark};
  const run = t.context.start(['--join', joined.directory, ...WAITS], {environment});
  await run.line(/^ready$/);
  t.deepEqual(processesWith(`JOBBUS_TEST_JOINED=${t.context.mark}`).map(({pid}) => pid), [run.pid]);
  t.false(environmentOf(run.pid).some(entry => entry.startsWith('JOBBUS_LAUNCHER')));
  await joined.end();
  await run.result;
  await killEverything(`JOBBUS_TEST_JOINED=${t.context.mark}`);
});

test('a session that was killed with its keeper cannot be joined, though all of it runs', async t => {
  const directory = await deadSession(t.context);
  const {code, stderr} = await t.context.run(['--join', directory, 'true']);
  t.is(code, 125);
  t.regex(stderr, /it is dead/);
  await t.context.run(['--sweep']);
});

test('where a variable is readonly, bash fails at the line that joins', async t => {
  const joined = await session(t.context);
  const script = `readonly XDG_RUNTIME_DIR; eval "$(${binary} --join "$0")"; echo "status $?"`;
  const {stdout, stderr} = await t.context.run(['-c', script, joined.directory], {program: 'bash'});
  t.is(stdout, 'status 1\n');
  t.regex(stderr, /XDG_RUNTIME_DIR: readonly variable\n$/);
  await joined.end();
});
