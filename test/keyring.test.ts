/** `--keyring`: a secret service that is unlocked before the command starts, and gone behind it. */

import {execFileSync} from 'node:child_process';
import {chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {isKeeper} from './helpers/ground.js';
import {inMountNamespace, needsRoot, test, useBench, type Bench, type Run, type StartOptions} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {environmentOf, eventually, isRunning, processesWith, viewProcess, type ProcessView} from './helpers/processes.js';
import {deadSession, kill, killed, nothingLeft, swept} from './helpers/sessions.js';
import {BASH, startShell} from './helpers/shells.js';

useBench();

const PASSWORD = 'open sesame';

/** An empty home, no display, and no doubt of whom Python asks. */
function environmentIn({base}: Bench): Record<string, string | undefined> {
  const home = join(base, 'home');
  mkdirSync(home, {recursive: true});
  return {HOME: home, DISPLAY: undefined, WAYLAND_DISPLAY: undefined, PYTHON_KEYRING_BACKEND: 'keyring.backends.SecretService.Keyring'};
}

function start(bench: Bench, words: readonly string[], options: StartOptions = {}): Run {
  return bench.start(words, {...options, environment: {...environmentIn(bench), ...options.environment}});
}

function passwordFile({base}: Bench, text = `${PASSWORD}\n`, name = 'password'): string {
  const path = join(base, name);
  writeFileSync(path, text, {mode: 0o600});
  return path;
}

function python(...lines: readonly string[]): string[] {
  return ['/usr/bin/python3', '-c', ['import keyring', ...lines].join('\n')];
}

const STORE = "keyring.set_password('service', 'user', 's3cret')";
const LOOK_UP = "print(keyring.get_password('service', 'user'))";

/** Which hides its environment, where it has its capability. */
function keyringOf({mark}: Bench): ProcessView {
  const [keeper] = processesWith(mark).filter(isKeeper);
  const children = readFileSync(`/proc/${keeper!.pid}/task/${keeper!.pid}/children`, 'utf8').trim().split(' ').map(Number);
  return children.map(viewProcess).find(view => view?.words[0]!.endsWith('gnome-keyring-daemon'))!;
}

test('a secret is stored and found in a keyring that goes with the session', async t => {
  const {result} = start(t.context, ['--keyring', '--', ...python(STORE, LOOK_UP)]);
  t.like(await result, {code: 0, stdout: 's3cret\n', stderr: ''});
  t.like(await start(t.context, ['--keyring', '--', ...python(LOOK_UP)]).result, {code: 0, stdout: 'None\n', stderr: ''});
});

test('keyrings at home are not touched, nor those of old', async t => {
  const {HOME: home} = environmentIn(t.context);
  mkdirSync(join(home!, '.gnome2/keyrings'), {recursive: true});
  t.like(await start(t.context, ['--keyring', '--', 'sh', '-c', 'printf s3cret | secret-tool store --label=test a b && secret-tool lookup a b']).result, {code: 0, stdout: 's3cret', stderr: ''});
  t.deepEqual(readdirSync(join(home!, '.gnome2/keyrings')), []);
  t.false(existsSync(join(home!, '.local')));
});

test('what is stored in your own keyring is there in the next session', async t => {
  const words = [`--keyring=${passwordFile(t.context)}`, '--'];
  t.like(await start(t.context, [...words, ...python(STORE)]).result, {code: 0, stderr: ''});
  t.true(existsSync(join(t.context.base, 'home/.local/share/keyrings/login.keyring')));
  t.like(await start(t.context, [...words, ...python(LOOK_UP)]).result, {code: 0, stdout: 's3cret\n', stderr: ''});
});

test('the file may be named from the working directory, and end without a newline', async t => {
  passwordFile(t.context, PASSWORD);
  chmodSync(join(t.context.base, 'password'), 0o400);
  const words = ['--keyring=password', '--', ...python(STORE, LOOK_UP)];
  t.like(await start(t.context, words, {cwd: t.context.base}).result, {code: 0, stdout: 's3cret\n', stderr: ''});
});

test('with a bus alone and without services it serves, too', async t => {
  const words = ['--keyring', '--bus-only', '--no-services', '--', 'sh', '-ec', 'test -z "${XDG_RUNTIME_DIR-}"; "$@"', 'sh', ...python(STORE, LOOK_UP)];
  t.like(await start(t.context, words).result, {code: 0, stdout: 's3cret\n', stderr: ''});
});

test('nobody sees the password, and no signal to the tree reaches the keyring', async t => {
  const waiting = start(t.context, [`--keyring=${passwordFile(t.context)}`, '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await waiting.line(/^ready$/);
  const all = processesWith(t.context.mark);
  const keyring = keyringOf(t.context);
  t.deepEqual([...all, keyring].filter(({pid, words}) => `${words.join(' ')} ${environmentOf(pid).join(' ')}`.includes(PASSWORD)), []);
  t.is(keyring.session, all.find(isKeeper)!.pid);
  waiting.child.kill('SIGTERM');
  t.is((await waiting.result).code, 143);
  t.false(isRunning(keyring.pid));
});

/** A process that is left, and that saves a secret when it is asked to end. */
const LEAVES_SAVER = `sh -c 'trap "printf last | secret-tool store --label=test a b; secret-tool lookup a b >saved; exit" TERM; echo >ready; while :; do sleep 0.02; done' 2>/dev/null &
  until [ -e ready ]; do sleep 0.02; done`;

const PATIENT = ['--keyring', '--stop-timeout', '60'];

test('it serves until all else has ended', async t => {
  const run = start(t.context, [...PATIENT, '--', 'sh', '-c', `${LEAVES_SAVER}; exit 3`], {cwd: t.context.base});
  t.like(await run.result, {code: 3, stderr: ''});
  t.is(readFileSync(join(t.context.base, 'saved'), 'utf8'), 'last');
});

test('should jobbus-run be killed, it serves until all else has ended, and is gone, too', async t => {
  const run = start(t.context, [...PATIENT, '--', 'sh', '-c', `${LEAVES_SAVER}; echo ready; exec tail -f /dev/null`], {cwd: t.context.base});
  await run.line(/^ready$/);
  const keyring = keyringOf(t.context);
  await killed(run);
  await nothingLeft(t.context.mark, t.context.base);
  await eventually('the keyring to go', () => !isRunning(keyring.pid));
  t.is(readFileSync(join(t.context.base, 'saved'), 'utf8'), 'last');
});

test('should the keeper be killed, too, the next run ends it', async t => {
  const {HOME} = environmentIn(t.context);
  const words = ['sh', '-c', 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetConnectionUnixProcessID string:org.freedesktop.secrets >"$HOME/pid"; echo ready; exec tail -f /dev/null'];
  const directory = await deadSession(t.context, words, {environment: {HOME}, options: ['--keyring']});
  const pid = Number(/uint32 (\d+)/.exec(readFileSync(join(HOME!, 'pid'), 'utf8'))![1]);
  t.true(isRunning(pid));
  t.is((await start(t.context, ['true']).result).code, 0);
  await swept(t.context, directory);
  await eventually('the keyring to go', () => !isRunning(pid));
});

test('should all but the keyring be killed, it ends with its bus', async t => {
  const run = start(t.context, ['--keyring', '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  const {pid, parent} = keyringOf(t.context);
  const others = processesWith(t.context.mark).map(other => other.pid).filter(other => other !== pid && other !== parent);
  [parent, ...others].forEach(kill); // The keeper first: it would begin to sweep.
  await run.result;
  await eventually('the keyring to go', () => !isRunning(pid));
  t.is((await t.context.run(['true'])).code, 0);
  await nothingLeft(t.context.mark, t.context.base);
});

test('a shell has one, too', async t => {
  const script = `${BASH.open('--keyring')}\n/usr/bin/python3 -c "$CODE"\n${BASH.stop}\necho "$? \${XDG_RUNTIME_DIR-none}"`;
  const environment = {...environmentIn(t.context), CODE: python(STORE, LOOK_UP).at(-1)};
  t.like(await startShell(t.context, BASH, script, {environment}).result, {code: 0, stdout: 's3cret\n0 none\n', stderr: ''});
});

test('a shell gets no session where the keyring stays locked', async t => {
  const script = `${BASH.open('--keyring=/none')}\necho "$? \${XDG_RUNTIME_DIR-none}"`;
  const {stdout, stderr} = await startShell(t.context, BASH, script, {environment: environmentIn(t.context)}).result;
  t.is(stdout, '1 none\n');
  t.regex(stderr, /^jobbus-run: reading the password in "\/none" failed: no such file or directory; .*\n$/);
});

async function fails(bench: Bench, words: readonly string[], environment: StartOptions['environment'] = {}): Promise<string> {
  const started = join(bench.base, 'started');
  const {code, stdout, stderr} = await start(bench, [...words, '--', '/bin/touch', started], {environment}).result;
  return code === 125 && stdout === '' && !existsSync(started) && /^jobbus-run: [^\n]+\n$/.test(stderr) ? stderr : `status ${code}: ${stderr}`;
}

test('with a wrong password there is no session, and the keyring stays what it is', async t => {
  const file = passwordFile(t.context);
  t.like(await start(t.context, [`--keyring=${file}`, '--', ...python(STORE)]).result, {code: 0});
  const message = await fails(t.context, [`--keyring=${passwordFile(t.context, 'another\n', 'wrong')}`]);
  t.regex(message, /^jobbus-run: unlocking the login keyring failed: the password in ".*\/wrong" is not the right one; /);
  t.like(await start(t.context, [`--keyring=${file}`, '--', ...python(LOOK_UP)]).result, {code: 0, stdout: 's3cret\n'});
});

test('a default keyring of another password is a prompt that nobody sees', async t => {
  const keyrings = join(environmentIn(t.context).HOME!, '.local/share/keyrings');
  mkdirSync(keyrings, {recursive: true});
  writeFileSync(join(keyrings, 'default'), 'another');
  t.regex(await fails(t.context, [`--keyring=${passwordFile(t.context)}`]), /^jobbus-run: unlocking the default keyring failed: it is not the login keyring, /);
});

/** Bytes: for record or log, and for both. Who is first has the room. */
for (const size of [4096, 8192]) {
  needsRoot(`a keyring that has no room in ${size} bytes for the session's keyrings is the fault of the place, and no password's`, async t => {
    const {program, words} = inMountNamespace(`mount -t tmpfs -o size=${size} jbt "$JOBBUS_RUNTIME_BASE"`);
    const {code, stderr} = await t.context.run([...words, '--keyring', '--', 'true'], {program});
    t.regex(stderr, /^jobbus-run: making a session directory failed: \S+: (no space left on device|the keyring cannot write its keyrings there, which may be full); the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n$/);
    t.is(code, 125);
  });
}

needsRoot('where a keyring of your own is to be made and there is no room, the password is not to blame', async t => {
  const {HOME: home} = environmentIn(t.context);
  const {program, words} = inMountNamespace(`mount -t tmpfs -o size=4096 jbt "${home!}"; head -c 4096 /dev/zero >"${home!}/full"`);
  const {code, stderr} = await start(t.context, [...words, `--keyring=${passwordFile(t.context)}`, '--', 'true'], {program}).result;
  t.is(stderr, 'jobbus-run: unlocking the login keyring failed: there is none yet, and none could be made; see whether there is room for it at home\n');
  t.is(code, 125);
});

/** Shell lines that make the file $1, and why it gives no password. */
const UNFIT: Readonly<Record<string, readonly [lines: string, reason: string]>> = {
  'is missing': [':', 'no such file or directory'],
  'is empty': [': >"$1"', 'it is empty'],
  'is an empty line': ['echo >"$1"', 'it is empty'],
  'has two lines': ['printf "one\\ntwo\\n" >"$1"', 'it has more than one line'],
  'is too long': ['printf "%4097d\\n" 1 >"$1"', 'it has more than 4096 bytes'],
  'can be read by its group': ['echo word >"$1"; chmod 640 "$1"', 'others have a permission for it'],
  'can be written by others': ['echo word >"$1"; chmod 602 "$1"', 'others have a permission for it'],
  'is a link': ['echo word >"$1-too"; ln -s "$1-too" "$1"', 'it is a symbolic link'],
  'is a directory': ['mkdir "$1"', 'it is no regular file'],
  'is a FIFO': ['mkfifo "$1"', 'it is no regular file'],
};

for (const [what, [lines, reason]] of Object.entries(UNFIT)) {
  test(`a file that ${what} gives no password`, async t => {
    const path = join(t.context.base, 'password');
    execFileSync('/bin/sh', ['-ec', `umask 077; ${lines}`, 'sh', path]);
    t.is(await fails(t.context, [`--keyring=${path}`]), `jobbus-run: reading the password in "${path}" failed: ${reason}; --keyring takes a file of yours with one line, which nobody else may read (chmod 600)\n`);
  });
}

needsRoot("another user's file gives no password", async t => {
  const path = passwordFile(t.context);
  chownSync(path, 65534, 65534);
  t.regex(await fails(t.context, [`--keyring=${path}`]), /failed: it belongs to user 65534; /);
});

/** Puts a program in the place of the keyring. */
function withKeyring({base, environment}: Bench, lines: string): Record<string, string> {
  const directory = join(base, 'bin');
  mkdirSync(directory);
  writeFileSync(join(directory, 'gnome-keyring-daemon'), `#!/bin/sh\n${lines}\n`, {mode: 0o755});
  return {PATH: `${directory}:${environment.PATH}`};
}

test('where no keyring is installed, that is said', async t => {
  t.regex(await fails(t.context, ['--keyring'], {PATH: '/none'}), /^jobbus-run: looking for gnome-keyring-daemon on PATH failed: there is none; install it /);
});

test('a keyring that ends is told with what it has said, and with nothing of the daemon\'s', async t => {
  const environment = withKeyring(t.context, 'echo dear me >&2; echo dear you >>"$XDG_RUNTIME_DIR/dbus-daemon.log"; exit 3');
  t.regex(await fails(t.context, ['--keyring'], environment), /^jobbus-run: starting .*\/gnome-keyring-daemon failed: it ended before it served secrets; its log ends: dear me\n$/);
});

test('one that cannot be executed is told with the reason', async t => {
  const environment = withKeyring(t.context, '');
  writeFileSync(join(t.context.base, 'bin/gnome-keyring-daemon'), '\x7fELF');
  t.regex(await fails(t.context, ['--keyring'], environment), /failed: it ended before it served secrets; its log ends: Exec format error\n$/);
});

test('one that does not serve is not waited for for ever', async t => {
  t.regex(await fails(t.context, ['--keyring'], withKeyring(t.context, 'exec tail -f /dev/null')), /failed: it did not serve secrets within 30 s; /);
});

test('a signal ends the wait for it', async t => {
  const up = join(t.context.base, 'up');
  const run = start(t.context, ['--keyring', '--', 'true'], {environment: withKeyring(t.context, `: >${up}; exec tail -f /dev/null`)});
  await eventually('the keyring', () => existsSync(up));
  run.child.kill('SIGTERM');
  t.like(await run.result, {code: 143, stdout: '', stderr: ''});
});

needsRoot('with hidepid=2 and the capability by which it hides, it serves, and is gone at the end', async t => {
  const open = join(t.context.base, 'open');
  const capable = join(t.context.base, 'capable');
  mkdirSync(open);
  chmodSync(open, 0o1777);
  mkdirSync(capable);
  copyFileSync('/usr/bin/gnome-keyring-daemon', join(capable, 'gnome-keyring-daemon'));
  execFileSync('setcap', ['cap_ipc_lock=ep', join(capable, 'gnome-keyring-daemon')]);
  const environment = {...environmentIn(t.context), HOME: '/nowhere', JOBBUS_RUNTIME_BASE: open, PATH: `${capable}:${dirname(installFor(t.context))}:${t.context.environment.PATH}`};
  const words = asNobody('jobbus-run', '--keyring', '--', ...python(STORE, LOOK_UP));
  const script = 'mount -t proc -o hidepid=2 proc /proc; setpriv "$@" || :; echo over; exec tail -f /dev/null';
  const run = t.context.start(['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-ec', script, 'sh', ...words], {program: 'unshare', environment});
  await run.line(/^over$/);
  t.deepEqual(processesWith(t.context.mark).filter(({words: [program]}) => program?.includes('keyring')), []);
  run.child.kill('SIGKILL');
  await run.result;
  t.is(run.output(), 's3cret\nover\n');
  t.is(run.errors(), '');
});
