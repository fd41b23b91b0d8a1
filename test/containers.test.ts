/** jobbus-run in containers, and containers in jobbus-run. */

import {ARCHIVE_TIME, releasedArchive} from './helpers/archive.js';
import {LEFT_RUNNING, fixture, needsRoot, test, useBench, type Bench, type Result, type Run} from './helpers/jobbus.js';
import {childrenOf, eventually} from './helpers/processes.js';
import {ROOT_DIRECTORY_TIME, rootDirectory} from './helpers/root-directory.js';

useBench();

/** www-data, whom every Debian knows. */
const USER = 33;

const AS_USER = ['setpriv', '--reuid', `${USER}`, '--regid', `${USER}`, '--clear-groups', '--'];

const JOBBUS = '/mnt/bin/jobbus-run';
const ASK = ['dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];
const ID = /^\s*[0-9a-f]{32}\s*$/;
const REFUSED = /^Failed to open connection to "session" message bus: Did not receive a reply\. /;

let root = '';
let tree = '';

test.before(async t => {
  if (process.getuid!() === 0) {
    t.timeout(ROOT_DIRECTORY_TIME + ARCHIVE_TIME);
    [root, {tree}] = await Promise.all([rootDirectory(), releasedArchive()]);
  }
});

/** Starts the words where jobbus-run is in /mnt, in a mount namespace of their own, behind more shell lines. */
function start(bench: Bench, words: readonly string[], lines = '', base = ''): Run {
  const script = `mount --bind "$1" /mnt; shift\n${lines}\nexec "$@"`;
  const environment = {HOME: '/nonexistent', USER: 'www-data', JOBBUS_RUNTIME_BASE: base};
  return bench.start(['--mount', '/bin/sh', '-ec', script, 'sh', tree, ...words], {program: 'unshare', cwd: '/', environment});
}

async function run(bench: Bench, words: readonly string[], lines = ''): Promise<Result> {
  return start(bench, words, lines).result;
}

/** Shell lines for a /tmp that nobody else is in. */
const FRESH_TMP = 'mount -t tmpfs -o mode=1777 none /tmp';

/** Words around words that show what is left in /tmp. */
const LOOK = ['sh', '-c', 'status=0; "$@" || status=$?; ls -A /tmp; exit $status', 'sh'];

const BWRAP = (): string[] => ['bwrap', '--unshare-all', '--ro-bind', root, '/', '--ro-bind', '/mnt', '/mnt', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'];

const INSIDE: Readonly<Record<string, readonly [words: () => readonly string[], lines?: string]>> = {
  'bubblewrap with nothing shared and a read-only root': [() => [...AS_USER, ...BWRAP()]],
  'bubblewrap as user 0': [() => [...AS_USER, ...BWRAP(), '--uid', '0', '--gid', '0']],
  'bubblewrap without session.conf': [() => [...AS_USER, ...BWRAP(), '--tmpfs', '/usr/share/dbus-1']],
  'bubblewrap without /dev/shm': [() => [...AS_USER, ...BWRAP(), '--tmpfs', '/dev', '--dev-bind', '/dev/null', '/dev/null', '--dev-bind', '/dev/urandom', '/dev/urandom']],
  'bubblewrap with nothing in /dev but null': [() => [...AS_USER, ...BWRAP(), '--tmpfs', '/dev', '--dev-bind', '/dev/null', '/dev/null']],
  'bubblewrap with a read-only /proc': [() => [...AS_USER, ...BWRAP(), '--remount-ro', '/proc']],
  'bubblewrap with nothing in /proc/sys': [() => [...AS_USER, ...BWRAP(), '--tmpfs', '/proc/sys']],
  'charliecloud': [() => [...AS_USER, 'ch-run', '--bind', '/mnt:/mnt', root, '--'], FRESH_TMP],
  'charliecloud with a private /tmp': [() => [...AS_USER, 'ch-run', '--private-tmp', '--bind', '/mnt:/mnt', root, '--']],
  'charliecloud as user 0': [() => [...AS_USER, 'ch-run', '--uid', '0', '--gid', '0', '--bind', '/mnt:/mnt', root, '--'], FRESH_TMP],
  'a user namespace as user 0': [() => [...AS_USER, 'unshare', '--user', '--map-root-user'], FRESH_TMP],
  'a user namespace as the same user': [() => [...AS_USER, 'unshare', '--user', `--map-user=${USER}`], FRESH_TMP],
  '/proc with hidepid=2': [() => ['unshare', '--pid', '--fork', '--kill-child', 'sh', '-ec', 'mount -t proc -o hidepid=2 proc /proc; exec "$@"', 'sh', ...AS_USER], FRESH_TMP],
};

for (const [where, [words, lines]] of Object.entries(INSIDE)) {
  needsRoot(`it runs in ${where}`, async t => {
    const {code, stdout, stderr} = await run(t.context, [...words(), ...LOOK, JOBBUS, '--', 'sh', '-c', '"$@" && exit 7', 'sh', ...ASK], lines);
    t.is(stderr, '');
    t.is(code, 7);
    t.regex(stdout, ID, 'an answer of the bus, and nothing is left in /tmp');
  });
}

/** jobbus-run as PID 1. */
function startFirst(bench: Bench, command: readonly string[], options: readonly string[] = []): Run {
  return start(bench, ['unshare', '--pid', '--fork', '--mount-proc', JOBBUS, ...options, '--', ...command], '', bench.base);
}

needsRoot('as PID 1, its keeper is nothing that the command has left: none is asked to end, and --wait waits for none', async t => {
  for (const options of [['--wait'], ['--signal-all'], []]) {
    const {code, stderr} = await startFirst(t.context, ['sh', '-c', 'exit 6'], ['--verbose', ...options]).result;
    t.is(code, 6);
    t.regex(stderr, /: removed /);
    t.notRegex(stderr, /: (?:ending|killing) /);
  }
});

needsRoot('as PID 1, signals reach the command once, and its exit status comes back', async t => {
  const running = startFirst(t.context, [fixture('reports-signals')]);
  await running.line(/^ready/);
  const first = childrenOf(running.pid)[0]!.pid;
  const sent = ['SIGUSR1', 'SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR2'] as const;
  for (const [index, signal] of sent.entries()) {
    process.kill(first, signal);
    await eventually(`${signal} to be reported`, () => running.output().split('\n').length - 2 > index);
  }

  const [command] = childrenOf(first).filter(({words}) => words.some(word => word.endsWith('reports-signals')));
  process.kill(command!.pid, 'SIGQUIT');
  await eventually('SIGQUIT to be reported', () => running.output().includes('SIGQUIT'));
  process.kill(command!.pid, 'SIGKILL');
  const {code, stdout} = await running.result;
  t.is(code, 137);
  t.deepEqual(stdout.split('\n').slice(1, -1), [...sent, 'SIGQUIT']);
});

needsRoot('as PID 1, it reaps orphans while the command runs, and ends those that go on', async t => {
  const orphans = `
    i=0; while [ $i -lt 20 ]; do (true & sleep 600 &) >/dev/null 2>&1; i=$((i + 1)); done
    while grep -qs '^State:.Z' /proc/[0-9]*/status; do sleep 0.02; done
    exit 9`;
  t.like(await startFirst(t.context, ['sh', '-c', orphans]).result, {code: 9, stdout: '', stderr: ''});
});

/** What docs/containers.md says to write, and what a client then gets. */
const AROUND: Readonly<Record<string, readonly [words: () => readonly string[], code: number, stdout: RegExp, stderr: RegExp]>> = {
  'ch-run': [() => ['ch-run', root, '--', ...ASK], 0, ID, /^$/],
  'ch-run as user 0': [() => ['ch-run', '--uid', '0', '--gid', '0', root, '--', ...ASK], 1, /^$/, REFUSED],
  'bwrap with the directory bound': [
    () => ['sh', '-c', `exec ${BWRAP().join(' ')} --bind "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR" "$@"`, 'sh', ...ASK], 0, ID, /^$/,
  ],
  'bwrap without': [() => [...BWRAP(), ...ASK], 1, /^$/, /: Failed to connect to socket .*: No such file or directory\n$/],
  'unshare as user 0, with libdbus': [() => ['unshare', '--user', '--map-root-user', ...ASK], 1, /^$/, REFUSED],
  'unshare as user 0, with GDBus': [
    () => ['unshare', '--user', '--map-root-user', 'gdbus', 'call', '--session', '-d', 'org.freedesktop.DBus', '-o', '/', '-m', 'org.freedesktop.DBus.GetId'],
    0, /^\('[0-9a-f]{32}',\)\n$/, /^$/,
  ],
  'unshare as the same user': [() => ['unshare', '--user', `--map-user=${USER}`, ...ASK], 0, ID, /^$/],
};

for (const [what, [words, code, stdout, stderr]] of Object.entries(AROUND)) {
  needsRoot(`around ${what}`, async t => {
    const result = await run(t.context, [...AS_USER, ...LOOK, JOBBUS, '--', ...words()], FRESH_TMP);
    t.regex(result.stderr, stderr);
    t.is(result.code, code);
    t.regex(result.stdout, stdout);
  });
}

/**
 * podman wants a unified cgroup hierarchy or none, a system that belongs to its user, and numbers for its users; what a machine lacks is
 * arranged for it, and the limits that it would raise are named. All of /etc is a copy: what is mounted on a file alone is gone when another
 * test's useradd(8) puts a new file in its place.
 */
const PODMAN_WORLD = `
  ! mountpoint --quiet /sys/fs/cgroup || umount --recursive --lazy /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mount -t tmpfs -o mode=1777 none /srv
  cp -a "$root" /srv/root
  mkdir /srv/home
  export HOME=/srv/home
  chown -R ${USER}:${USER} /srv/root /srv/home
  cp -a /etc /srv/etc 2>/dev/null || : # The lock files of a useradd beside us come and go.
  echo www-data:200000:65536 | tee /srv/etc/subuid >/srv/etc/subgid
  mount --bind /srv/etc /etc
  mount --make-rshared /`;

for (const [how, option, code, stdout, stderr] of [['with --userns=keep-id', '--userns=keep-id', 0, ID, LEFT_RUNNING], ['as user 0', '--userns=host', 1, /^$/, REFUSED]] as const) {
  needsRoot(`around podman ${how}`, async t => {
    const podman = `exec podman --root /srv/storage --runroot /srv/running --cgroup-manager=cgroupfs run --rm --network=none --cgroups=disabled \
      --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 ${option} \
      -v "$XDG_RUNTIME_DIR:$XDG_RUNTIME_DIR" -e XDG_RUNTIME_DIR -e DBUS_SESSION_BUS_ADDRESS --rootfs /srv/root "$@"`;
    const result = await run(t.context, [...AS_USER, ...LOOK, JOBBUS, '--', 'sh', '-c', podman, 'sh', ...ASK], `root=${root}\n${FRESH_TMP}\n${PODMAN_WORLD}`);
    t.regex(result.stderr, stderr);
    t.is(result.code, code);
    t.regex(result.stdout, stdout);
  });
}
