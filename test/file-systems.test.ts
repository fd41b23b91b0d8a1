/** Where sessions go on file systems as clusters have them, mounted for the purpose. */

import type {ExecutionContext} from 'ava';
import {resultInEngine} from './helpers/engine.js';
import {needsRoot, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, startNode, withoutSockets, withServer, type EnterOptions} from './helpers/own-node.js';
import {eventually, viewProcess, processesWith} from './helpers/processes.js';

useBench();

const ASK = 'echo "$XDG_RUNTIME_DIR"; exec dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

/** Runs in a node as the lines make it, where no session may be left. */
async function runOn(t: ExecutionContext<Bench>, lines: string, words: readonly string[] = [], options: EnterOptions = {}): Promise<Result> {
  const node = await startNode(t, lines);
  const result = await node.run([...words, '--', 'sh', '-c', ASK], options);
  t.deepEqual(node.sessions(), []);
  return result;
}

/** The command has run, and its bus has answered, in a session below the base. */
function serves(t: ExecutionContext<Bench>, base: string, {code, stdout, stderr}: Result): void {
  t.is(stderr.split('\n').filter(line => !line.startsWith('jobbus-run: ')).join(''), '');
  t.is(code, 0, stderr);
  t.regex(stdout, new RegExp(`^${base}/jobbus-\\d+/nojob-[a-z2-7]{16}\n\\s*[0-9a-f]{32}`));
}

const TMPFS = 'mount -t tmpfs -o mode=1777,OPTIONS none';

/** The command's place, and what --verbose says of the others. */
const NODES: ReadonlyArray<[what: string, lines: string, base: string, reasons: readonly string[], environment?: Record<string, string>]> = [
  ['a noexec /tmp', `${TMPFS.replace('OPTIONS', 'noexec,nosuid,nodev')} /tmp`, '/tmp', []],
  ['a full /tmp', `${TMPFS.replace('OPTIONS', 'size=4k')} /tmp; echo x >/tmp/full`, '/dev/shm', ['/tmp cannot serve: no space left on device']],
  ['a /tmp without an inode left', `${TMPFS.replace('OPTIONS', 'nr_inodes=2')} /tmp; touch /tmp/full`, '/dev/shm', ['/tmp cannot serve: no space left on device']],
  ['a /tmp and a /dev/shm that are read-only', 'mount -o remount,bind,ro /tmp; mount -o remount,bind,ro /dev/shm; mkdir /mnt/scratch', '/mnt/scratch',
    ['/tmp cannot serve: read-only file system'], {TMPDIR: '/mnt/scratch'}],
  ['a read-only /tmp, and a TMPDIR that does not exist', 'mount -o remount,bind,ro /tmp', '/dev/shm', ['/scratch/4711 cannot serve: no such file or directory'], {TMPDIR: '/scratch/4711'}],
  ['a read-only /tmp, and a TMPDIR of 90 bytes', `mount -o remount,bind,ro /tmp; mkdir -p /mnt/${'s'.repeat(85)}`, '/dev/shm',
    [`/mnt/${'s'.repeat(85)} cannot serve: the path of the bus would have`], {TMPDIR: `/mnt/${'s'.repeat(85)}`}],
  ['nothing but a cache at home', 'mount -o remount,bind,ro /tmp; mount -o remount,bind,ro /dev/shm; mkdir /mnt/cache', '/mnt/cache',
    ['/dev/shm cannot serve: read-only file system'], {XDG_CACHE_HOME: '/mnt/cache'}],
];

for (const [what, lines, base, reasons, environment = {}] of NODES) {
  needsRoot(`on a node with ${what}, a session goes below ${base}`, async t => {
    const result = await runOn(t, lines, ['--verbose'], {environment});
    serves(t, base, result);
    for (const reason of reasons) {
      t.true(result.stderr.includes(`jobbus-run: ${reason}`), result.stderr);
    }

    t.false(result.stderr.includes('network'));
  });
}

const BINDFS = (directory: string): string => withServer(directory, `bindfs -f ${directory} ${directory}`);

const FUSE_NODES: typeof NODES = [
  ['a /tmp by FUSE', BINDFS('/tmp'), '/dev/shm', []],
  ['nothing but FUSE', `${BINDFS('/tmp')}\n${BINDFS('/dev/shm')}`, '/tmp', ['/tmp is on a network file system, FUSE: nothing local can serve\n']],
  ['a /tmp that refuses sockets', withoutSockets('/tmp'), '/dev/shm', []],
  ['a network /tmp that refuses sockets, and a network TMPDIR', `${withoutSockets('/tmp')}\n${BINDFS('/dev/shm')}`, '/dev/shm',
    ['/tmp cannot serve: no socket can be bound there: operation not permitted\n', '/dev/shm is on a network file system']],
  ['a network /tmp whose sockets nobody can connect to, and a network TMPDIR', `${withoutSockets('/tmp', 'connect')}\n${BINDFS('/dev/shm')}`, '/dev/shm',
    ['/tmp cannot serve: no socket can be connected to there: no such file or directory\n']],
];

for (const [what, lines, base, reasons] of FUSE_NODES) {
  needsFuse(`on a node with ${what}, a session goes below ${base}`, async t => {
    const result = await runOn(t, lines, ['--verbose']);
    serves(t, base, result);
    for (const reason of reasons) {
      t.true(result.stderr.includes(`jobbus-run: ${reason}`), result.stderr);
    }
  });
}

needsFuse('of a network file system there is not a word unless one asks', async t => {
  const result = await runOn(t, `${BINDFS('/tmp')}\n${BINDFS('/dev/shm')}`);
  serves(t, '/tmp', result);
  t.is(result.stderr, '');
});

for (const [refused, reason] of [['bind', 'no socket can be bound there: operation not permitted'], ['connect', 'no socket can be connected to there: no such file or directory']] as const) {
  needsFuse(`a base on which nobody can ${refused} a socket is refused where it was asked for, and nothing takes its place`, async t => {
    const {code, stdout, stderr} = await runOn(t, withoutSockets('/tmp', refused), ['--runtime-base', '/tmp']);
    t.is(stderr, `jobbus-run: making a session directory failed: /tmp: ${reason}; name a usable directory with --runtime-base\n`);
    t.is(stdout, '');
    t.is(code, 125);
  });
}

needsFuse('where /tmp serves, nobody looks at a home whose server hangs', async t => {
  const node = await startNode(t, `mkdir /mnt/cache; ${withServer('/mnt/cache', 'exec bindfs -f /mnt/cache /mnt/cache')}`);
  const server = processesWith(t.context.mark).find(({words}) => words[0] === 'bindfs')!;
  process.kill(server.pid, 'SIGSTOP');
  await eventually('the server to stop', () => viewProcess(server.pid)?.state === 'T');
  const result = await node.run(['--', 'sh', '-c', ASK], {environment: {XDG_CACHE_HOME: '/mnt/cache'}});
  serves(t, '/tmp', result);
});

needsRoot('in a user namespace that has no root, /tmp serves: it belongs to nobody there', async t => {
  const node = await startNode(t);
  const words = ['unshare', '--user', '--map-user=1000', NODE_BINARY, '--', 'sh', '-c', `stat -c %u /tmp; ${ASK}`];
  const {code, stdout, stderr} = await node.start(words, {user: {name: 'nobody', id: 1234, group: 1234}}).result;
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^65534\n\/tmp\/jobbus-1000\/nojob-\w+\n\s*[0-9a-f]{32}/);
});

// No network file system is mounted anywhere here; the verdict is a function of two types.
for (const [statfs, mountinfo, verdict] of [
  [0xef53, 'ext4', undefined],
  [0x58465342, 'xfs', undefined],
  [0x01021994, 'tmpfs', undefined],
  [0x794c7630, 'overlay', undefined],
  [0x9123683e, 'btrfs', undefined],
  [0x6969, 'nfs4', 'NFS'],
  [0x6969, undefined, 'NFS'],
  [-0xacb2be, 'cifs', 'CIFS'],
  [0xff534d42, 'cifs', 'CIFS'],
  [0xfe534d42, 'smb3', 'SMB 2'],
  [0x5346414f, 'afs', 'AFS'],
  [0x6b414653, 'afs', 'AFS'],
  [0x00c36400, 'ceph', 'Ceph'],
  [0x0bd00bd0, 'lustre', 'Lustre'],
  [0x47504653, 'gpfs', 'GPFS'],
  [0x19830326, 'beegfs', 'BeeGFS'],
  [0xaad7aaea, 'panfs', 'PanFS'],
  [0x20030528, 'pvfs2', 'OrangeFS'],
  [0x01161970, 'gfs2', 'GFS2'],
  [0x7461636f, 'ocfs2', 'OCFS2'],
  [0x01021997, '9p', '9P'],
  [0x12345678, 'lustre', 'lustre'],
  [0x12345678, 'dvs', 'dvs'],
  [0x12345678, 'wekafs', 'wekafs'],
  [0x12345678, 'bcachefs', undefined],
  [0x12345678, undefined, undefined],
  [0x65735546, 'fuse.sshfs', 'fuse.sshfs'],
  [0x65735546, 'fuse.glusterfs', 'fuse.glusterfs'],
  [0x65735546, 'virtiofs', 'virtiofs'],
  [0x65735546, 'fuse', 'FUSE'],
  [0x65735546, undefined, 'FUSE'],
  [0x65735546, 'fuseblk', undefined],
  [0x65735546, 'fuse.fuse-overlayfs', undefined],
] as const) {
  test(`statfs ${statfs.toString(16)}, mountinfo ${mountinfo}: ${verdict ?? 'local'}`, async t => {
    const lines = `const result = networkFileSystem(${statfs}, ${JSON.stringify(mountinfo)});`;
    t.is(await resultInEngine(t.context, {'system/filesystems': 'networkFileSystem'}, lines), verdict ?? null);
  });
}
