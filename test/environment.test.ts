import {readFileSync, mkdirSync, statSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, fixture, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {allPids, childrenOf, descriptorsOf, environmentOf, eventually, processesWith, viewProcess, type ProcessView} from './helpers/processes.js';
import {keeperOf, sentinelOf, withService} from './helpers/sessions.js';

useBench();

/** What an outer session, or a login node's, has left in the environment. */
const INHERITED = {
  XDG_RUNTIME_DIR: '/run/user/4711',
  DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/user/4711/bus',
  DBUS_SESSION_BUS_PID: '4711',
  DBUS_SESSION_BUS_WINDOWID: '4711',
  DBUS_STARTER_ADDRESS: 'unix:path=/nowhere',
  DBUS_STARTER_BUS_TYPE: 'session',
};

/** Names and values that shells like to lose or change. */
const DELICATE = {
  'BASH_FUNC_module%%': '() {  echo module\n}',
  'with.dot': '1',
  EMPTY: '',
  LINES: 'a\nb',
  EQUALS: 'a=b=',
  NOT_ASCII: 'é€',
  SHLVL: '7',
  _: '/usr/bin/before',
  OLDPWD: '/nowhere',
  PWD: '/wrong',
  NODE_OPTIONS: '--max-old-space-size=300',
  IFS: ',',
};

type Variables = Record<string, string>;

function variables(block: string): Variables {
  const entries = block.split('\0').filter(Boolean);
  return Object.fromEntries(entries.map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

/** The environments of a command by itself and under jobbus-run. */
async function environments(bench: Bench, options: readonly string[], environment: Variables): Promise<{bare: Variables; wrapped: Variables}> {
  const bare = await bench.run(['-0'], {program: '/usr/bin/env', environment});
  const wrapped = await bench.run([...options, '--', '/usr/bin/env', '-0'], {environment});
  return {bare: variables(bare.stdout), wrapped: variables(wrapped.stdout)};
}

const REMOVED = ['DBUS_SESSION_BUS_PID', 'DBUS_SESSION_BUS_WINDOWID', 'DBUS_STARTER_ADDRESS', 'DBUS_STARTER_BUS_TYPE'];

function without(all: Variables, names: readonly string[]): Variables {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)));
}

for (const [what, inherited] of [['an inherited session', INHERITED], ['no session', {}]] as const) {
  test(`with ${what}, the command's environment differs in the session's variables alone`, async t => {
    const {bare, wrapped} = await environments(t.context, [], {...DELICATE, ...inherited});
    const {XDG_RUNTIME_DIR: directory = '', DBUS_SESSION_BUS_ADDRESS: address = ''} = wrapped;
    t.regex(directory, new RegExp(`^${t.context.base}/jobbus-${process.getuid!()}/nojob-[a-z2-7]{16}$`));
    t.is(address, `unix:path=${directory}/bus`);
    t.deepEqual(wrapped, {...without(bare, REMOVED), XDG_RUNTIME_DIR: directory, DBUS_SESSION_BUS_ADDRESS: address});
  });

  test(`with ${what} and --bus-only, XDG_RUNTIME_DIR stays as well`, async t => {
    const {bare, wrapped} = await environments(t.context, ['--bus-only'], {...DELICATE, ...inherited});
    const {DBUS_SESSION_BUS_ADDRESS: address = ''} = wrapped;
    t.true(address.startsWith(`unix:path=${t.context.base}/`), address);
    t.deepEqual(wrapped, {...without(bare, REMOVED), DBUS_SESSION_BUS_ADDRESS: address});
  });
}

test('the job is part of the name of the directory', async t => {
  const {stdout} = await t.context.run(['--', 'sh', '-c', 'echo $XDG_RUNTIME_DIR'], {environment: {SLURM_JOB_ID: '4711'}});
  t.regex(stdout, /\/4711-[a-z2-7]{16}\n$/);
});

for (const mask of ['000', '022', '077', '777']) {
  test(`under umask ${mask} the directory is ours alone, and the command's umask stays`, async t => {
    const look = 'umask; stat -c "%a %u" "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR/.."; dbus-send --session --dest=org.freedesktop.DBus --print-reply / org.freedesktop.DBus.GetId >/dev/null';
    const {code, stdout, stderr} = await t.context.run(['-c', `umask ${mask}; exec ${binary} -- sh -c '${look}'`], {program: '/bin/sh'});
    t.is(stderr, '');
    t.is(code, 0);
    const owner = process.getuid!();
    t.is(stdout, `0${mask}\n700 ${owner}\n700 ${owner}\n`);
  });
}

/** A run whose command waits for the end of its input, and the session's daemon. */
async function waiting(bench: Bench, environment: Variables = {}): Promise<{run: Run; daemon: ProcessView; finish: () => void}> {
  const go = join(bench.base, 'go');
  const run = bench.start(['--', fixture('waits-for-file'), go], {environment});
  await run.line(/^ready$/);
  const daemon = processesWith(bench.mark).find(({words}) => words[0] === '/usr/bin/dbus-daemon')!;
  return {run, daemon, finish: () => writeFileSync(go, '')};
}

function commandOf(run: Run): ProcessView {
  return childrenOf(run.pid).find(({words}) => words.includes(fixture('waits-for-file')))!;
}

test('the daemon has the environment of the command', async t => {
  const {run, daemon, finish} = await waiting(t.context, {
    ...INHERITED, ...DELICATE, start: '1', pid: '2', log: '3', node: '4', directory: '5', JOBBUS_HELPER: '1', JOBBUS_LAUNCHER: 'x', JOBBUS_LINE: '6', line: '7', line0: '8',
  });
  const command = commandOf(run);
  const ofCommand = variables(environmentOf(command.pid).join('\0'));
  const ofDaemon = variables(environmentOf(daemon.pid).join('\0'));
  finish();
  t.is((await run.result).code, 0);
  t.deepEqual(ofDaemon, ofCommand);
});

test('an activated service has the environment of the command, and what D-Bus adds', async t => {
  const file = join(t.context.base, 'environment');
  const services = join(t.context.base, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  writeFileSync(join(services, 'org.example.Environment.service'), `[D-BUS Service]\nName=org.example.Environment\nExec=${fixture('environment-service')} ${file}\n`);
  const call = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Environment uint32:0';
  const environment = {...INHERITED, XDG_DATA_DIRS: join(t.context.base, 'share'), 'with.dot': '1'};
  const {code, stdout} = await t.context.run(['--', 'sh', '-c', `env -0; ${call} && exec ${fixture('waits-for-file')} ${file} >&2`], {environment});
  t.is(code, 0);
  const added = ['DBUS_STARTER_ADDRESS', 'DBUS_STARTER_BUS_TYPE'];
  const shells = ['PWD', 'OLDPWD', '_', 'SHLVL', 'with.dot'];
  const service = variables(readFileSync(file, 'utf8'));
  const command = variables(stdout);
  t.true(service.DBUS_STARTER_ADDRESS!.startsWith(command.DBUS_SESSION_BUS_ADDRESS!));
  t.is(service.DBUS_SESSION_BUS_ADDRESS!.split(',')[0], command.DBUS_SESSION_BUS_ADDRESS);
  t.deepEqual(without(service, [...added, ...shells, 'DBUS_SESSION_BUS_ADDRESS']), without(command, [...shells, 'DBUS_SESSION_BUS_ADDRESS']));
});

/** Variables that sh does not hand on, with the secret in each, characters as bytes. */
const secretEntries = (secret: string): string[] => [`raw=\xff${secret}\n`, `a.b=${secret}\n\n`, `BASH_FUNC_x%%=() {  echo ${secret}\n}`];

function processNamed({mark}: Bench, name: string): ProcessView | undefined {
  return processesWith(mark).find(({words}) => words[0] === name);
}

/** The caller's shell puts them there; no command line has them afterwards. */
const WITH_SECRETS = 'raw=$(printf "\\377%s\\n." "$1"); raw=${raw%.}; export raw; a=$(printf "a.b=%s\\n\\n." "$1"); f=$(printf "BASH_FUNC_x%%%%=() {  echo %s\\n}" "$1"); shift; exec env "${a%.}" "$f" "$@"';

test('while a session lives, no command line has a word of the caller\'s environment, and services have all of it', async t => {
  const secret = `secret-${t.context.mark}`;
  const go = join(t.context.base, 'go');
  const startService = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Sleep uint32:0';
  const words = ['-c', WITH_SECRETS, 'sh', secret, binary, '--', '/bin/sh', '-c', `${startService}; exec ${fixture('waits-for-file')} ${go}`];
  const run = t.context.start(words, {program: '/bin/sh', environment: withService(t.context, 'org.example.Sleep', '/usr/bin/sleep 1000')});
  await run.line(/^ready$/);
  const service = await eventually('the service', () => processNamed(t.context, '/usr/bin/sleep'));
  const seen = allPids().map(viewProcess).filter(view => view?.words.some(word => word.includes(secret)));
  const found = [service, processNamed(t.context, '/usr/bin/dbus-daemon')!]
    .map(({pid}) => readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').filter(entry => entry.includes(secret)).sort());
  writeFileSync(go, '');
  t.is((await run.result).code, 0);
  t.deepEqual(seen.map(view => view!.words), []);
  t.deepEqual(found, [secretEntries(secret).sort(), secretEntries(secret).sort()]);
});

test('the daemon is out of the way of every signal to the command', async t => {
  const {run, daemon, finish} = await waiting(t.context);
  const self = viewProcess(run.pid)!;
  const ancestors: number[] = [];
  for (let pid = daemon.parent; pid > 1; pid = viewProcess(pid)?.parent ?? 0) {
    ancestors.push(pid);
  }

  const keeper = await keeperOf(t.context);
  finish();
  t.is((await run.result).code, 0);
  t.not(daemon.session, self.session);
  t.not(daemon.group, self.group);
  t.false(ancestors.includes(run.pid), 'nor is it in our process tree');
  t.is(keeper.session, daemon.session);
  t.not(keeper.parent, run.pid);
});

test('neither the daemon nor the helpers hold what the command has for its input and output', async t => {
  const {run, daemon, finish} = await waiting(t.context);
  const command = commandOf(run);
  const standard = [0, 1, 2].map(number => descriptorsOf(command.pid).get(number)!);
  const sentinel = sentinelOf(run.pid)!;
  const held = [...processesWith(t.context.mark).filter(({pid}) => pid !== sentinel.pid), sentinel]
    .filter(({pid, parent}) => pid !== command.pid && pid !== run.pid && parent !== command.pid)
    .map(({pid, words}) => ({name: words.slice(0, 4).join(' '), held: [...descriptorsOf(pid).values()].filter(target => standard.includes(target))}));
  const log = descriptorsOf(daemon.pid).get(2)!;
  finish();
  t.is((await run.result).code, 0);
  t.true(held.length >= 3);
  t.deepEqual(held.filter(({held: files}) => files.length > 0), []);
  t.true(log.startsWith(t.context.base), log);
});

test('the session directory holds the socket of the bus', async t => {
  const {run, daemon, finish} = await waiting(t.context);
  const [directory = ''] = t.context.sessions();
  const {mode, uid} = statSync(directory);
  t.is(mode & 0o7777, 0o700);
  t.is(uid, process.getuid!());
  t.is(statSync(dirname(directory)).mode & 0o7777, 0o700);
  t.true(statSync(join(directory, 'bus')).isSocket());
  t.is(viewProcess(daemon.pid)?.pid, daemon.pid);
  finish();
  t.is((await run.result).code, 0);
});
