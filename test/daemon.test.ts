import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, fixture, inMountNamespace, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {eventually, processesWith} from './helpers/processes.js';

useBench();

const LOG_END = 'its log ends: line 3 \\| line 4 \\| line 5 \\| line 6 \\| line 7\n$';

const failures: ReadonlyArray<[daemon: string, problem: string]> = [
  ['silent-daemon', 'it did not report its address within 30 s'],
  ['closing-daemon', 'it closed its output without reporting its address'],
  ['dying-daemon', 'it ended before it reported its address'],
  ['absent-daemon', 'its socket cannot be connected to: no such file or directory'],
  ['garbled-daemon', 'it reported "garbage", which is not the address it was given'],
];

for (const [daemon, problem] of failures) {
  test(`a ${daemon} is a failure of its own kind`, async t => {
    const {code, stdout, stderr} = await t.context.run(['--dbus-daemon', fixture(daemon), '--', 'echo', 'started']);
    t.is(code, 125);
    t.is(stdout, '');
    t.regex(stderr, new RegExp(`^jobbus-run: starting ${fixture(daemon)} failed: ${problem}; ${LOG_END}`));
  });
}

test('a daemon without a word in its log is said to have none', async t => {
  const {code, stderr} = await t.context.run(['--dbus-daemon', '/bin/true', '--', 'echo', 'started']);
  t.is(code, 125);
  t.is(stderr, 'jobbus-run: starting /bin/true failed: it ended before it reported its address; its log is empty\n');
});

test('a daemon that ignores TERM is ended, and the status is the command\'s', async t => {
  const {code, stdout, stderr} = await t.context.run(['--dbus-daemon', fixture('stubborn-daemon'), '--', 'sh', '-c', 'exit 5']);
  t.is(code, 5);
  t.is(stdout + stderr, '');
});

test('a slow daemon is waited for', async t => {
  const go = join(t.context.base, 'go');
  const reached = join(t.context.base, 'reached');
  const run = t.context.start(['--dbus-daemon', fixture('slow-daemon'), '--', 'echo', 'started'], {environment: {REACHED: reached, GO: go}});
  await eventually('the daemon to start', () => daemonOf(t.context, 'slow-daemon'));
  t.is(run.output(), '');
  writeFileSync(go, '');
  t.like(await run.result, {code: 0, stdout: 'started\n', stderr: ''});
});

/** The process of the session that is the daemon, with this name among its words. */
function daemonOf(bench: Bench, name: string): number | undefined {
  return processesWith(bench.mark).find(({words}) => words.slice(0, 2).some(word => word.endsWith(`/${name}`)))?.pid;
}

for (const [daemon, problem] of [
  ['/nowhere/dbus-daemon', 'it is not an executable file'],
  ['./dbus-daemon', 'it is not an absolute path'],
  // There would be one from the root, where jobbus-run is.
  ['usr/bin/dbus-daemon', 'it is not an absolute path'],
] as const) {
  for (const [way, words, environment, advice] of [
    ['--dbus-daemon', ['--dbus-daemon', daemon], {}, 'name another with --dbus-daemon'],
    ['JOBBUS_DBUS_DAEMON', [], {JOBBUS_DBUS_DAEMON: daemon}, 'the variable JOBBUS_DBUS_DAEMON names it: change or unset that'],
  ] as const) {
    test(`the daemon ${daemon} that ${way} names is no start`, async t => {
      writeFileSync(join(t.context.base, 'dbus-daemon'), '#!/bin/sh\nexec /usr/bin/dbus-daemon "$@"\n', {mode: 0o755});
      const {code, stdout, stderr} = await t.context.run([...words, '--', 'echo', 'started'], {environment, cwd: t.context.base});
      t.is(code, 125);
      t.is(stdout, '');
      t.is(stderr, `jobbus-run: using "${daemon}" as the dbus-daemon failed: ${problem}; ${advice}\n`);
    });
  }
}

// Nobody may execute /dev/null.
const HIDE_DAEMON = '/usr/bin/mount --bind /dev/null /usr/bin/dbus-daemon';

needsRoot('where there is no dbus-daemon at all, the message says where to get one', async t => {
  const {program, words} = inMountNamespace(HIDE_DAEMON);
  const environment = {PATH: '/nowhere'};
  const {code, stdout, stderr} = await t.context.run([...words, '--', '/bin/echo', 'started'], {program, environment});
  t.is(code, 125);
  t.is(stdout, '');
  t.regex(stderr, /^jobbus-run: .*\n$/);
  for (const source of [/apt install dbus-daemon/, /dnf install dbus-daemon/, /zypper install dbus-1-daemon/, /pacman -S dbus/, /conda install dbus/, /module/, /--dbus-daemon/]) {
    t.regex(stderr, source);
  }
});

needsRoot('where there is no /dev/null for keeper and daemon, the line names it', async t => {
  const {program, words} = inMountNamespace(`mkdir "$JOBBUS_RUNTIME_BASE/dev"
    mount -t tmpfs jbt "$JOBBUS_RUNTIME_BASE/dev"
    cp -a /dev/urandom "$JOBBUS_RUNTIME_BASE/dev"
    mount --move "$JOBBUS_RUNTIME_BASE/dev" /dev`);
  const {code, stderr} = await t.context.run([...words, '--', 'true'], {program});
  t.is(stderr, 'jobbus-run: starting keeper failed: /dev/null: no such file or directory; see what this user may start and open (ulimit -u, ulimit -n)\n');
  t.is(code, 125);
});

needsRoot('where there is none in /usr/bin, the first on PATH serves', async t => {
  const {program, words} = inMountNamespace(`cp /usr/bin/dbus-daemon "$JOBBUS_RUNTIME_BASE"\n${HIDE_DAEMON}`);
  const environment = {PATH: `${process.env.PATH!}:${t.context.base}`};
  const {code, stderr} = await t.context.run([...words, '--verbose', '--', 'true'], {program, environment});
  t.is(code, 0);
  t.true(stderr.includes(`started ${t.context.base}/dbus-daemon as process`), stderr);
});

test('the daemon of /usr/bin comes before one on PATH', async t => {
  const folder = join(t.context.base, 'conda');
  mkdirSync(folder);
  writeFileSync(join(folder, 'dbus-daemon'), '#!/bin/sh\nexit 1\n', {mode: 0o755});
  const {code, stderr} = await t.context.run(['--', 'true'], {environment: {PATH: `${folder}:${process.env.PATH!}`}});
  t.is(stderr, '');
  t.is(code, 0);
});

for (const [what, text, reason] of [
  ['rejects', '<busconfig><nonsense/></busconfig>', /nonsense/],
  ['cannot read as XML', 'no XML', /.+/],
  ['does not find', undefined, /No such file/],
] as const) {
  test(`a configuration that dbus-daemon ${what} is a failure with its words`, async t => {
    const file = join(t.context.base, 'own.conf');
    if (text !== undefined) {
      writeFileSync(file, text);
    }

    const {code, stdout, stderr} = await t.context.run(['--config-file', file, '--', 'echo', 'started']);
    t.is(code, 125);
    t.is(stdout, '');
    t.regex(stderr, /^jobbus-run: starting \/usr\/bin\/dbus-daemon failed: it ended before it reported its address; its log ends: .*\n$/);
    t.regex(stderr.split('its log ends: ')[1]!, reason);
  });
}

/** Asks the bus to start a service by the name; the name is real, of dconf. */
const ACTIVATION = [
  'dbus-send', '--session', '--print-reply', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.StartServiceByName',
  'string:ca.desrt.dconf', 'uint32:0',
];

const REFUSING_CONFIGURATION = `<busconfig><listen>unix:tmpdir=/nowhere</listen><policy context="default">
  <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  <deny send_interface="org.freedesktop.DBus" send_member="StartServiceByName"/>
</policy></busconfig>`;

test('--config-file is given to the daemon, and its address is still ours', async t => {
  const file = join(t.context.base, 'own.conf');
  writeFileSync(file, REFUSING_CONFIGURATION);
  const {code, stderr} = await t.context.run(['--config-file', file, '--', ...ACTIVATION]);
  t.is(code, 1);
  t.regex(stderr, /AccessDenied/);
});

test('a relative --config-file leads from where jobbus-run was called, whatever the bytes of that path', async t => {
  const script = `cd "$1"; shift
    mkdir "$(printf 'a\\377')"; cp own.conf "$(printf 'a\\377')"
    for directory in . "$(printf 'a\\377')"; do (cd "$directory" && "$@"; echo $?); done`;
  writeFileSync(join(t.context.base, 'own.conf'), REFUSING_CONFIGURATION);
  const {stdout, stderr} = await t.context.run(['-c', script, 'sh', t.context.base, binary, '--config-file', 'own.conf', '--', ...ACTIVATION], {program: '/bin/sh'});
  t.is(stdout, '1\n1\n', stderr);
  t.regex(stderr, /^(.*AccessDenied.*\n){2}$/);
});

test('a bus starts the services that are installed', async t => {
  const {code, stdout, stderr} = await t.context.run(['--', ...ACTIVATION]);
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /uint32 1/);
});

test('with --no-services there is a bus that starts none', async t => {
  const {code, stderr} = await t.context.run(['--no-services', '--', ...ACTIVATION]);
  t.is(code, 1);
  t.regex(stderr, /ServiceUnknown/);
});

needsRoot('where session.conf is missing, the bus serves and starts services', async t => {
  const {program, words} = inMountNamespace(`copy=$JOBBUS_RUNTIME_BASE/dbus-1
    cp -r /usr/share/dbus-1 "$copy"
    rm "$copy/session.conf"
    mount --bind "$copy" /usr/share/dbus-1`);
  const {code, stdout, stderr} = await t.context.run([...words, '--', ...ACTIVATION], {program});
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /uint32 1/);
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`a daemon that dies of ${signal} under the command is one warning, and the status is the command's`, async t => {
    const go = join(t.context.base, 'go');
    const run = t.context.start(['--', fixture('waits-for-file'), go, '6']);
    await run.line(/^ready$/);
    process.kill(daemonOf(t.context, 'dbus-daemon')!, signal);
    await run.errorLine(/dbus-daemon of this session has died; the command goes on/);
    writeFileSync(go, '');
    const {code, stderr} = await run.result;
    t.is(code, 6);
    t.regex(stderr, /^jobbus-run: .*\n$/, 'one line');
  });
}

test('a daemon that the command kills as it ends changes no status', async t => {
  const {code, stdout} = await t.context.run(['--', fixture('kills-daemon'), '4']);
  t.is(code, 4);
  t.is(stdout, '');
});

test('a daemon that is stopped as the command ends goes too', async t => {
  const go = join(t.context.base, 'go');
  const run = t.context.start(['--', fixture('waits-for-file'), go]);
  await run.line(/^ready$/);
  process.kill(daemonOf(t.context, 'dbus-daemon')!, 'SIGSTOP');
  writeFileSync(go, '');
  t.like(await run.result, {code: 0, stderr: ''});
});

test('when jobbus-run ends, everything else has ended', async t => {
  t.like(await t.context.run(['--', 'true']), {code: 0, stderr: ''});
  t.deepEqual(processesWith(t.context.mark), []);
  t.deepEqual(t.context.sessions(), []);
});
