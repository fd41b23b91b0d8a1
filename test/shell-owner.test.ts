/** Whose session is it, and who sees the shell's end? */

import {copyFileSync, existsSync, mkdirSync, readFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {isJobbusRun} from './helpers/ground.js';
import {binary, fixture, needsRoot, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {daemonOf, editRecord, emptySession, keeperOf, kill, killEverything, nothingLeft, readRecord, withService} from './helpers/sessions.js';
import {BASH, SHELLS, startShell} from './helpers/shells.js';

useBench();

/** A shell with a session, that waits. @returns its session's directory, too */
async function openShell(bench: Bench, shell = BASH): Promise<{run: Run; directory: string}> {
  const before = new Set(bench.sessions());
  const run = startShell(bench, shell, `${shell.open()}\necho ready\nsleep 1000\nexit 0`);
  await run.line(/^ready$/);
  return {run, directory: bench.sessions().find(path => !before.has(path) && !path.includes('~'))!}; // A sweeper's claim is none of the shell's.
}

/** What it has started may hold its output until the session is swept. */
async function endShell({child, pid}: Run): Promise<void> {
  child.kill('SIGKILL');
  await eventually('the shell to go', () => !isRunning(pid));
}

async function listedState(bench: Bench, directory: string): Promise<string | undefined> {
  const {stdout} = await bench.run(['--list', '--json']);
  return (JSON.parse(stdout) as Array<{directory: string; state: string}>).find(session => session.directory === directory)?.state;
}

for (const option of ['--sh-syntax', '--csh-syntax', '--fish-syntax', '--stop']) {
  test.serial(`${option} that no shell reads says how to write it, and starts nothing`, async t => {
    const {code, stdout, stderr} = await t.context.run([option]);
    t.deepEqual([code, stdout], [125, 'false\n']);
    t.regex(stderr, /^jobbus-run: looking for the calling shell failed: none reads what is printed; write .*jobbus-run --.*\n$/);
  });
}

test.serial('what the command is given after -- makes it none', async t => {
  for (const words of [['--wrong', '--', 'echo', '--stop'], ['--kill-after', 'wrong', 'echo', '--stop']]) {
    t.like(await t.context.run(words), {code: 125, stdout: ''});
  }
});

test.serial('with its stdout closed, or read by another command, it starts nothing', async t => {
  const script = `jobbus-run --sh-syntax >&-; echo $?; eval "$(jobbus-run --sh-syntax | cat)"; echo $?`;
  const {stdout, stderr} = await startShell(t.context, BASH, script).result;
  t.is(stdout, '125\n1\n');
  t.is(stderr.match(/^jobbus-run: looking for the calling shell failed: .*$/gm)?.length, 2);
});

test.serial('without a supervisor, the code fails', async t => {
  const directory = join(t.context.base, 'bin');
  mkdirSync(directory);
  copyFileSync(binary, join(directory, 'jobbus-run'));
  for (const shell of SHELLS) {
    const failing = `${shell.open()}\necho ${shell.status}`;
    for (const code of [failing, failing.replace('jobbus-run --', 'jobbus-run -v --')]) {
      const {stdout, stderr} = await startShell(t.context, shell, code, {environment: {PATH: `${directory}:${t.context.environment.PATH}`}}).result;
      t.is(stdout, '1\n', shell.name);
      t.regex(stderr, /^jobbus-run: starting .*\/lib\/jobbus-run\/supervisor failed: .*\n$/);
    }
  }
});

/** What saves at its TERM, with the name of its file, by a new connection to the bus. */
const saves = (file: string): string => `${fixture('asks-bus-at-term')} >${file} & until [ -s ${file} ]; do :; done`;

for (const [how, last] of [['the shell exits', 'exit 0'], ['--stop is called', BASH.stop], ['the shell is killed', 'kill -KILL $$']] as const) {
  test.serial(`what saves its work as ${how} still finds its bus and its runtime directory`, async t => {
    const file = join(t.context.base, 'saved');
    await startShell(t.context, BASH, `${BASH.open('--stop-timeout 20')}\n${saves(file)}\n${last}`).result;
    await nothingLeft(t.context.mark, t.context.base);
    t.regex(readFileSync(file, 'utf8'), /^ready\n\s*[0-9a-f]{32}\s*$/);
  });
}

test.serial('inside a run, what saves its work as the shell is killed still finds its bus', async t => {
  const file = join(t.context.base, 'saved');
  const script = `PATH="${dirname(binary)}:$PATH"\n${BASH.open('--stop-timeout 20')}\n${saves(file)}\nkill -KILL $$`;
  await t.context.run(['--stop-timeout', '20', '--', ...BASH.words, '-c', script]);
  await nothingLeft(t.context.mark, t.context.base);
  t.regex(readFileSync(file, 'utf8'), /^ready\n\s*[0-9a-f]{32}\s*$/);
});

for (const [how, last] of [['--stop is called', BASH.stop], ['the shell is killed', 'kill -KILL $$']] as const) {
  test.serial(`a service of its bus that has gone into the background without a variable is ended as ${how}`, async t => {
    const file = join(t.context.base, 'pid');
    const environment = withService(t.context, 'org.example.Bare', `/usr/bin/env -i PATH=/usr/bin:/bin ${fixture('daemonising-service')} ${file}`);
    const call = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Bare uint32:0';
    await startShell(t.context, BASH, `${BASH.open()}\n${call}\nuntil [ -s ${file} ]; do :; done\n${last}`, {environment}).result;
    await nothingLeft(t.context.mark, t.context.base);
    t.false(isRunning(Number(readFileSync(file, 'utf8'))));
  });
}

test.serial('what bears no mark, and is known by a parent that ends first, is ended by --stop, too', async t => {
  const file = join(t.context.base, 'pid');
  await startShell(t.context, BASH, `${BASH.open('--stop-timeout 0.5')}\n${fixture('leaves-unmarked')} ${file}\n${BASH.stop}`).result;
  t.false(isRunning(Number(readFileSync(file, 'utf8'))));
});

for (const [what, remove] of [['record', 'rm "$XDG_RUNTIME_DIR/session.json"'], ['runtime directory', 'rm -r "$XDG_RUNTIME_DIR"']] as const) {
  test.serial(`a shell whose script has removed the ${what} leaves nothing`, async t => {
    const {code, stdout} = await startShell(t.context, BASH, `${BASH.open()}\nsetsid tail -f /dev/null >/dev/null 2>&1 &\n${remove}; echo removed`).result;
    t.deepEqual([code, stdout], [0, 'removed\n']);
    await nothingLeft(t.context.mark, t.context.base);
  });
}

test.serial('--stop ends no session but that of its own shell, whatever the variables say', async t => {
  const {run: other, directory} = await openShell(t.context);
  const wrapped = t.context.start(['--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null']);
  const wrappedDirectory = await wrapped.line(/^\//);
  const precious = join(t.context.base, 'jobbus-0/nojob-aaaaaaaabbbbbbbb');
  for (const forged of [directory, wrappedDirectory, precious, '/', t.context.base, `${directory}/../..`]) {
    const {stdout, stderr} = await startShell(t.context, BASH, `${BASH.stop}; echo $?`, {environment: {
      XDG_RUNTIME_DIR: forged, DBUS_SESSION_BUS_ADDRESS: `unix:path=${forged}/bus`,
    }}).result;
    t.is(stdout, '1\n', forged);
    t.regex(stderr, /^jobbus-run: ending the session of process \d+ failed: it has none; see jobbus-run --list\n$/);
  }

  t.true([directory, wrappedDirectory].every(path => existsSync(join(path, 'bus'))));
  t.true(isRunning(wrapped.pid));
  process.kill(wrapped.pid, 'SIGTERM');
  await wrapped.result;
  await endShell(other);
  await nothingLeft(t.context.mark, t.context.base);
});

test.serial('--stop does not end a process that only the record calls a keeper', async t => {
  const bystander = t.context.start(['1000'], {program: 'sleep'});
  const edit = `sed -i "s/\\"keeper\\":{\\"pid\\":[0-9]*,\\"startTime\\":\\"[0-9]*\\"/\\"keeper\\":{\\"pid\\":${bystander.pid},\\"startTime\\":\\"$(cut -d' ' -f22 /proc/${bystander.pid}/stat)\\"/" "$XDG_RUNTIME_DIR/session.json"`;
  const {code, stderr} = await startShell(t.context, BASH, `${BASH.open()}; ${edit}; grep -c '"pid":${bystander.pid},' "$XDG_RUNTIME_DIR/session.json"; ${BASH.stop}`).result;
  t.deepEqual([code, stderr], [0, '']);
  t.true(isRunning(bystander.pid));
  await endShell(bystander);
});

test.serial('where the keeper was killed, the session lives as long as its shell, and the next run sweeps it', async t => {
  const {run, directory} = await openShell(t.context);
  kill((await keeperOf(t.context)).pid);
  await t.context.run(['--', 'true']);
  t.is((await t.context.run(['--sweep'])).stdout, '');
  t.is(await listedState(t.context, directory), 'live');
  t.true(existsSync(join(directory, 'bus')));
  await endShell(run);
  t.is(await listedState(t.context, directory), 'dead');
  t.regex((await t.context.run(['-v', '--', 'true'])).stderr, / sweeps: .* is dead \(its process is gone\)\n/);
  await nothingLeft(t.context.mark, t.context.base);
});

test.serial('where the keeper was killed, --stop ends the session all the same', async t => {
  const script = `${BASH.open()}; kill -9 $(sed 's/.*"keeper":{"pid":\\([0-9]*\\).*/\\1/' "$XDG_RUNTIME_DIR/session.json"); ${BASH.stop}; echo $?`;
  t.like(await startShell(t.context, BASH, script).result, {code: 0, stdout: '0\n', stderr: ''});
});

test.serial('where the daemon was killed, the session lives until its shell ends', async t => {
  const {run, directory} = await openShell(t.context);
  kill((await daemonOf(t.context)).pid);
  t.is(await listedState(t.context, directory), 'live');
  await endShell(run);
  await nothingLeft(t.context.mark, t.context.base);
});

test.serial('where everything is killed at once, the next run on the node removes the session', async t => {
  const {run, directory} = await openShell(t.context);
  await killEverything(t.context.mark);
  await run.result;
  t.true(existsSync(directory));
  await t.context.run(['--', 'sleep', '1']);
  t.false(existsSync(directory));
});

test.serial('it sweeps what dead sessions have left, as a run does', async t => {
  const dead = await emptySession(t.context);
  const {run, directory} = await openShell(t.context);
  await eventually('the dead session to go', () => !existsSync(dead));
  t.true(existsSync(join(directory, 'bus')));
  await endShell(run);
  await nothingLeft(t.context.mark, t.context.base);
});

test.serial('values that a record cannot hold are refused', async t => {
  const {stdout, stderr} = await startShell(t.context, BASH, `${BASH.open()}; echo "$? \${#XDG_RUNTIME_DIR}"`, {environment: {XDG_RUNTIME_DIR: 'x'.repeat(5000)}}).result;
  t.is(stdout, '1 5000\n');
  t.is(stderr, 'jobbus-run: remembering XDG_RUNTIME_DIR failed: its value has more than 4096 characters; unset it first\n');
});

test.serial('a pid that is another process\'s by now is not taken for the shell', async t => {
  const {run, directory} = await openShell(t.context);
  kill((await keeperOf(t.context)).pid);
  const {owner} = readRecord(directory);
  editRecord(directory, {owner: {...owner, startTime: String(Number(owner.startTime) - 1)}});
  t.regex((await t.context.run(['--sweep'])).stdout, /; removed\n$/);
  await endShell(run);
  await nothingLeft(t.context.mark, t.context.base);
});

test.serial('a zombie is no shell: its session ends before anybody has reaped it', async t => {
  const go = join(t.context.base, 'go');
  const script = 'import os, subprocess, sys, time\nshell = subprocess.Popen(sys.argv[2:])\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)';
  const parent = t.context.start(['-c', script, go, 'bash', '-c', `PATH="${dirname(binary)}:$PATH"; ${BASH.open()}; echo $$; exec sleep 1000`], {program: 'python3'});
  const shell = Number(await parent.line(/^\d+$/));
  const [directory] = t.context.sessions();
  kill(shell);
  await eventually('the session to go', () => !existsSync(directory!));
  t.is(viewProcess(shell)?.state, 'Z');
  mkdirSync(go);
  await parent.result;
});

for (const [what, signal] of [['SIGINT', 'SIGINT'], ['kill -9', 'SIGKILL']] as const) {
  test.serial(`after ${what} of jobbus-run as the daemon starts, nothing is left`, async t => {
    const reached = join(t.context.base, 'reached');
    const run = startShell(t.context, BASH, `${BASH.open()}; echo "$? \${XDG_RUNTIME_DIR-nothing}"`, {environment: {JOBBUS_DBUS_DAEMON: fixture('slow-daemon'), REACHED: reached, GO: join(t.context.base, 'go')}});
    await eventually('the daemon to start', () => existsSync(reached));
    const processes = processesWith(t.context.mark);
    const jobbus = processes.find(isJobbusRun);
    t.truthy(jobbus, JSON.stringify(processes));
    process.kill(jobbus!.pid, signal);
    t.is((await run.result).stdout, signal === 'SIGKILL' ? '0 nothing\n' : '1 nothing\n');
    await nothingLeft(t.context.mark, t.context.base);
  });
}

test.serial('a shell that ends as its session starts leaves nothing', async t => {
  const reached = join(t.context.base, 'reached');
  const go = join(t.context.base, 'go');
  const run = startShell(t.context, BASH, `${BASH.open()}; echo ready`, {environment: {JOBBUS_DBUS_DAEMON: fixture('slow-daemon'), REACHED: reached, GO: go}});
  await eventually('the daemon to start', () => existsSync(reached));
  run.child.kill('SIGKILL');
  mkdirSync(go);
  await nothingLeft(t.context.mark, t.context.base);
  await run.result;
  t.pass();
});

needsRoot('seen from another pid namespace, it lives as long as its shell', async t => {
  const shell = {...BASH, words: ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', ...BASH.words]};
  const {run, directory} = await openShell(t.context, shell);
  t.is(readRecord(directory).owner.pid, 1);
  t.is((await t.context.run(['--sweep'])).stdout, '');
  t.is(await listedState(t.context, directory), 'live');
  await endShell(run);
  // Who dies gives back its environment first, and its lock a moment later.
  await eventually('the last process to go, and its lock', () => processesWith(t.context.mark).length === 0 && !readFileSync('/proc/net/unix', 'latin1').includes(`/${basename(directory)}`));
  t.regex((await t.context.run(['--sweep'])).stdout, /: dead \(its lock is free\); removed\n$/);
  t.false(existsSync(dirname(directory)));
});

test('a bash whose stdin is closed has the session itself, and no subshell of its', async t => {
  const line = `eval "$(${binary} --sh-syntax || echo false)" || exit`;
  const run = t.context.start(['-c', `exec <&-; ${line}; echo "$$ $XDG_RUNTIME_DIR"`], {program: 'bash'});
  const [, pid, directory] = /^(\d+) (.*)$/.exec(await run.line(/^\d+ /)) ?? [];
  t.is(Number(pid), run.pid);
  const {code, stderr} = await run.result;
  t.deepEqual([code, stderr], [0, '']);
  t.false(existsSync(directory!));
});
