/** What leads to a base: nobody else may be able to put another directory in its place, neither above it nor at a link. */

import {chmodSync, existsSync, readdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {placeLetters} from '../src/session/name.js';
import {whereabouts} from '../src/session/record.js';
import {needsRoot, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {needsFuse, NODE_BINARY, startNode, type OwnNode} from './helpers/own-node.js';
import {eventually, processesWith} from './helpers/processes.js';
import {emptySession, stateOf, sweptLines} from './helpers/sessions.js';
import {useUsers} from './helpers/users.js';

useBench();

const users = useUsers();

/** Shell lines: a directory that the neighbour's group may write, and the victim's own, private, in it. */
function groupDirectory(): string {
  const {victim, neighbour} = users();
  return `mkdir /mnt/group; chgrp ${neighbour.group} /mnt/group; chmod 2775 /mnt/group
    mkdir -m 700 /mnt/group/mine; chown ${victim.id} /mnt/group/mine`;
}

const OPEN_GROUP = 'others may write to /mnt/group, on its way, and it is not sticky: they could lead it elsewhere';

/** Where the runs of a test have their base. */
async function runsIn(node: OwnNode, base: string, words: readonly string[] = ['--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"']): Promise<Result> {
  return node.run(words, {user: users().victim, environment: {JOBBUS_RUNTIME_BASE: base}});
}

/** As the neighbour: her own directory in the place of the victim's, with a FIFO for what the shell form writes and reads back. */
const EXCHANGE = `cd /mnt/group; mv mine away; mkdir -p "mine/$1"; chmod -R 755 mine; mkfifo -m 666 "mine/$1/exit-trap"
  cat "mine/$1/exit-trap" >/dev/null; echo 'id -u >/dev/shm/obeyed' >"mine/$1/exit-trap"`;

needsRoot('a member of the group that may write above a base gets nothing of hers executed by who sources the shell form', async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t, groupDirectory());
  const script = `code=$(${NODE_BINARY} --sh-syntax); echo ready; until [ -e /dev/shm/go ]; do sleep 0.02; done; eval "$code"; echo "status $?"`;
  const shell = node.start(['sh', '-c', script], {user: victim, environment: {JOBBUS_RUNTIME_BASE: '/mnt/group/mine'}});
  await shell.line(/^ready$/);
  // The name of a session is no secret.
  const keeper = processesWith(t.context.mark).flatMap(({words}) => words).find(word => /^\/mnt\/group\/mine\/jobbus-\d+\/[^/]+$/.test(word));
  const exchange = node.start(['sh', '-ec', EXCHANGE, 'sh', keeper?.replace('/mnt/group/mine/', '') ?? 'no-session'], {user: neighbour});
  await eventually('the exchange', () => existsSync(join(t.context.base, 'group/away')));
  await eventually('the FIFO', () => processesWith(t.context.mark).some(({words}) => words[0] === 'cat'));
  writeFileSync(join(node.shm, 'go'), '');
  const {stdout, stderr} = await shell.result;
  t.false(existsSync(join(node.shm, 'obeyed')));
  t.is(stdout, 'ready\nstatus 1\n');
  t.is(stderr, `jobbus-run: making a session directory failed: /mnt/group/mine: ${OPEN_GROUP}; the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n`);
  exchange.child.kill('SIGKILL');
  processesWith(t.context.mark).filter(({words}) => words[0] === 'cat').forEach(({pid}) => process.kill(pid));
  await exchange.result;
});

/** Shell lines for an ACL that lets the neighbour write, in a directory whose mode alone let nobody else: as of posix_acl_xattr.h, tag, rights, id. */
function grant(directory: string): string {
  const entries = `[(1, 7, -1), (2, 7, ${users().neighbour.id}), (4, 5, -1), (16, 7, -1), (32, 5, -1)]`;
  return `python3 -c 'import os, struct; os.setxattr("${directory}", "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in ${entries}))'`;
}

/** Shell lines that make the base, the base, and why it cannot serve; undefined: it serves. */
const WAYS: Readonly<Record<string, readonly [lines: () => string, base: string, problem: string | undefined]>> = {
  'that is reached through a directory that a group may write': [groupDirectory, '/mnt/group/mine', OPEN_GROUP],
  'that is reached through a directory that all may write': [() => 'mkdir -m 777 /mnt/group; mkdir -m 777 /mnt/group/mine; chmod 777 /mnt/group; chown $VICTIM /mnt/group/mine; chmod 700 /mnt/group/mine', '/mnt/group/mine', OPEN_GROUP],
  'that is reached through a directory that an ACL lets another user write': [
    () => `mkdir -p /mnt/group/mine; chown $VICTIM /mnt/group/mine; ${grant('/mnt/group')}`, '/mnt/group/mine', OPEN_GROUP,
  ],
  'that an ACL lets another user write': [
    () => `mkdir /mnt/mine; chown $VICTIM /mnt/mine; ${grant('/mnt/mine')}`, '/mnt/mine', 'others may write there and it is not sticky: they could take away what we put there',
  ],
  "that is reached through another user's directory": [
    () => 'mkdir -p /mnt/hers/mine; chown $NEIGHBOUR /mnt/hers; chown $VICTIM /mnt/hers/mine', '/mnt/hers/mine', '/mnt/hers, on its way, belongs to another user, who could lead it elsewhere',
  ],
  'that is reached through a link in a directory that a group may write': [
    () => `${groupDirectory()}\nmkdir /mnt/safe; chown $VICTIM /mnt/safe; ln -s /mnt/safe /mnt/group/link; chown -h $VICTIM /mnt/group/link`, '/mnt/group/link', OPEN_GROUP,
  ],
  'that is reached by a link to a directory below one that a group may write': [() => `${groupDirectory()}\nln -s group/mine /mnt/link`, '/mnt/link', OPEN_GROUP],
  'that is reached by a link to a link to it': [() => `${groupDirectory()}\nln -s /mnt/group/mine /mnt/first; ln -s ../mnt/./first/ /mnt/second`, '/mnt/second', OPEN_GROUP],
  'that is reached from a directory that a group may write and up again': [() => `${groupDirectory()}\nmkdir /mnt/safe; chown $VICTIM /mnt/safe`, '/mnt/group/../safe', OPEN_GROUP],
  "that is reached by another user's link in a sticky directory": [
    () => 'mkdir -m 1777 /mnt/open; mkdir /mnt/safe; chown $VICTIM /mnt/safe; ln -s /mnt/safe /mnt/open/link; chown -h $NEIGHBOUR /mnt/open/link', '/mnt/open/link',
    'the link /mnt/open/link, on its way, belongs to another user, who could lead it elsewhere',
  ],
  'that is reached by a link to itself': [() => 'ln -s loop /mnt/loop', '/mnt/loop', 'too many symbolic links'],
  'that is reached by a link to nothing': [() => 'ln -s nothing /mnt/link', '/mnt/link', 'no such file or directory'],
  'that is reached by a link to a file': [() => 'touch /mnt/file; ln -s file /mnt/link', '/mnt/link', 'it is not a directory'],
  'that is reached through a file': [() => 'touch /mnt/file', '/mnt/file/..', 'not a directory'],
  'that is reached through a sticky directory that all may write': [() => 'mkdir -p /mnt/open/mine; chmod 1777 /mnt/open; chown $VICTIM /mnt/open/mine', '/mnt/open/mine', undefined],
  "that is reached by links of root's and the user's own": [
    () => 'mkdir -p -m 755 /mnt/safe/mine; chown $VICTIM /mnt/safe/mine; ln -s ../mnt/safe /mnt/roots; ln -s /mnt/roots/mine/../mine /mnt/own; chown -h $VICTIM /mnt/own', '/mnt/own', undefined,
  ],
  'that is reached by a link to the root': [() => 'ln -s / /mnt/link', '/mnt/link/tmp', undefined],
};

for (const [way, [lines, base, problem]] of Object.entries(WAYS)) {
  needsRoot(`a base ${way} ${problem === undefined ? 'serves' : 'is refused'}`, async t => {
    const {victim, neighbour} = users();
    const node = await startNode(t, `VICTIM=${victim.id}; NEIGHBOUR=${neighbour.id}\n${lines()}`);
    const {code, stdout, stderr} = await runsIn(node, base);
    t.is(stderr, problem === undefined ? '' : `jobbus-run: making a session directory failed: ${base}: ${problem}; the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n`);
    t.is(code, problem === undefined ? 0 : 125);
    t.is(stdout.startsWith(`${base}/jobbus-${victim.id}/`), problem === undefined, stdout);
  });
}

needsRoot('a link of /proc that leads elsewhere than it says is refused', async t => {
  const {pid, child, line, result} = t.context.start(['--mount', 'sh', '-c', 'mount -t tmpfs none /mnt; echo ready; exec tail -f /dev/null'], {program: 'unshare'});
  await line(/^ready$/);
  const base = `/proc/${pid}/root/mnt`;
  t.is((await t.context.run(['--runtime-base', base, '--', 'true'])).stderr,
    `jobbus-run: making a session directory failed: ${base}: it leads elsewhere than to /mnt, as its links say; name a usable directory with --runtime-base\n`);
  child.kill('SIGKILL');
  await result;
});

/** As the neighbour: a file system of hers, which says that all of it is the victim's. */
const LIE = 'mkdir /tmp/scratch /tmp/scratch/mine; exec bindfs -f -o allow_other --force-user="$1" --perms=u=rwx,go= /tmp/scratch /tmp/scratch';

needsFuse("a base on another user's FUSE is refused, whatever that says of its owner", async t => {
  const {victim, neighbour} = users();
  const node = await startNode(t, 'mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse; cp -a /etc /mnt/etc 2>/dev/null || :; echo user_allow_other >/mnt/etc/fuse.conf; mount --bind /mnt/etc /etc');
  const server = node.start(['sh', '-ec', LIE, 'sh', victim.name], {user: neighbour});
  const owner = async (): Promise<string> => (await node.start(['stat', '-f', '-c', '%T', '/tmp/scratch'], {user: victim}).result).stdout;
  await eventually(() => `the server: ${server.errors()}`, async () => (await owner()).startsWith('fuse'));
  t.is((await node.start(['stat', '-c', '%u %a', '/tmp/scratch', '/tmp/scratch/mine'], {user: victim}).result).stdout, `${victim.id} 700\n`.repeat(2));
  for (const [base, problem] of [
    ['/tmp/scratch', 'it belongs to another user, who could take away what we put there'],
    ['/tmp/scratch/mine', '/tmp/scratch, on its way, belongs to another user, who could lead it elsewhere'],
  ] as const) {
    t.is((await runsIn(node, base)).stderr, `jobbus-run: making a session directory failed: ${base}: ${problem}; the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n`);
  }

  server.child.kill('SIGTERM');
  await server.result;
});

needsRoot('--doctor names the directory above a base that others may write, and a run passes the base over', async t => {
  const {victim} = users();
  const node = await startNode(t, `${groupDirectory()}\nmount -o remount,bind,ro /tmp`);
  const options = {user: victim, environment: {TMPDIR: '/mnt/group/mine'}};
  t.true((await node.run(['--doctor'], options)).stdout.includes(`\n-- base           /mnt/group/mine: ${OPEN_GROUP}\n`));
  const {code, stdout, stderr} = await node.run(['--verbose', '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"'], options);
  t.true(stderr.includes(`jobbus-run: /mnt/group/mine cannot serve: ${OPEN_GROUP}\n`), stderr);
  t.is(code, 0);
  t.true(stdout.startsWith('/dev/shm/'), stdout);
});

test('a dead session whose parent others may write is left, until a run makes the parent private again', async t => {
  const directory = await emptySession(t.context);
  chmodSync(dirname(directory), 0o770);
  t.deepEqual(await sweptLines(t.context), []);
  t.is(await stateOf(t.context, directory), undefined);
  t.is((await t.context.run(['--', 'true'])).stderr, '');
  await eventually('the session to be swept', () => !existsSync(directory));
});

/** In a user namespace without root, where the owner of each is the user that stands for all that have no number. */
for (const [what, lines, base, problem] of [
  ["what root alone makes, as in the root directory, counts as root's", 'mkdir -m 700 /mnt/mine; chown $VICTIM /mnt/mine', '/mnt/mine', undefined],
  ['a directory deeper down may be anybody\'s', 'mkdir -p /mnt/hers/mine; chown $NEIGHBOUR /mnt/hers; chown $VICTIM /mnt/hers/mine', '/mnt/hers/mine',
    '/mnt/hers, on its way, belongs to another user, who could lead it elsewhere'],
  ['one that others may write is none of root\'s alone', 'chmod 777 /mnt; mkdir /mnt/mine; chown $VICTIM /mnt/mine', '/mnt/mine',
    'others may write to /mnt, on its way, and it is not sticky: they could lead it elsewhere'],
  ['a sticky directory may be anybody\'s, too', 'mkdir -m 1777 /mnt/hers; chown $NEIGHBOUR /mnt/hers', '/mnt/hers', 'it belongs to another user, who could take away what we put there'],
  ['what else stands in the root may be anybody\'s', 'mkdir -m 700 /mnt/mine; chown $VICTIM /mnt/mine; mount --bind /mnt /opt', '/opt/mine',
    '/opt, on its way, belongs to another user, who could lead it elsewhere'],
  ['/dev/shm serves', ':', '/dev/shm', undefined],
] as const) {
  needsRoot(`in a user namespace that has no root, ${what}`, async t => {
    const {victim, neighbour} = users();
    const node = await startNode(t, `VICTIM=${victim.id}; NEIGHBOUR=${neighbour.id}\n${lines}`);
    const words = ['unshare', '--user', '--map-user=1000', NODE_BINARY, '--runtime-base', base, '--', 'sh', '-c', 'stat -c %u /; echo "$XDG_RUNTIME_DIR"'];
    const {code, stdout, stderr} = await node.start(words, {user: victim}).result;
    t.is(stderr, problem === undefined ? '' : `jobbus-run: making a session directory failed: ${base}: ${problem}; name a usable directory with --runtime-base\n`);
    t.is(code, problem === undefined ? 0 : 125);
    t.is(stdout.startsWith(`65534\n${base}/jobbus-1000/`), problem === undefined, stdout);
  });
}

/** A name that everybody can make up for a session of this boot and network namespace. */
function plausibleName(): string {
  return `nojob-aaaaaaaa${placeLetters(whereabouts())}`;
}

/** As the neighbour: what the victim's group works on, under the names of a dead session and of its parent. */
const RENAME = 'cd /mnt/group; mv project/results "project/$1"; mv project "$2"';

for (const [how, words, environment] of [
  ['a TMPDIR', ['--sweep'], {TMPDIR: '/mnt/group'}],
  ['a base that is named', ['--runtime-base', '/mnt/group', '--sweep'], {}],
  ['the cache at home', ['--sweep'], {XDG_CACHE_HOME: '/mnt/group'}],
] as const) {
  needsRoot(`results that a member of the group renames to look like a dead session in ${how} are not swept`, async t => {
    const {node, results} = await startRenamed(t);
    t.like(await node.run(words, {user: users().victim, environment}), {code: 0, stdout: '', stderr: ''});
    t.deepEqual(readdirSync(results), ['measured']);
    t.false((await node.run(['--list'], {user: users().victim, environment})).stdout.includes('/mnt/group'));
  });
}

needsRoot('results that a member of the group renames are not swept where their path is named, and it is said why', async t => {
  const {node, results, path} = await startRenamed(t);
  const {code, stdout, stderr} = await node.run(['--sweep', path], {user: users().victim});
  t.is(stderr, `jobbus-run: sweeping ${path} failed: ${dirname(path)}: ${OPEN_GROUP}; remove it by hand\n`);
  t.is(stdout, '');
  t.is(code, 125);
  t.deepEqual(readdirSync(results), ['measured']);
});

interface Renamed {
  readonly node: OwnNode;
  /** From outside the node. */
  readonly results: string;
  readonly path: string;
}

async function startRenamed(t: ExecutionContext<Bench>): Promise<Renamed> {
  const {victim, neighbour} = users();
  const node = await startNode(t, `${groupDirectory()}
    mkdir -p /mnt/group/project/results; echo 42 >/mnt/group/project/results/measured
    chown -R ${victim.id}:${neighbour.group} /mnt/group/project; chmod 2775 /mnt/group/project`);
  const parent = `jobbus-${victim.id}`;
  t.like(await node.start(['sh', '-ec', RENAME, 'sh', plausibleName(), parent], {user: neighbour}).result, {code: 0, stderr: ''});
  const path = `/mnt/group/${parent}/${plausibleName()}`;
  return {node, path, results: join(t.context.base, path.slice('/mnt/'.length))};
}

