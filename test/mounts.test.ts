import {chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {resultInEngine} from './helpers/engine.js';
import {inMountNamespace, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {asNobody, installFor, NOBODY} from './helpers/nobody.js';
import {needsFuse} from './helpers/own-node.js';
import {kill} from './helpers/sessions.js';

useBench();

const {program, words: namespace} = inMountNamespace('');

/** Shell lines that mount on m, below the session directory; $OUTSIDE is a directory of the user's. */
const MOUNTS: Readonly<Record<string, string>> = {
  'a bind mount of the same file system': 'mount --bind "$OUTSIDE" m',
  'two bind mounts on each other': 'mount --bind "$OUTSIDE" m && mount --bind "$OUTSIDE" m',
  'a bind mount in a directory whose name has blanks and more': "mkdir -p 'm/a b\\c\n' && mount --bind \"$OUTSIDE\" 'm/a b\\c\n'",
  'a bind mount of a file': 'touch f && mount --bind "$OUTSIDE/file" f',
  'a tmpfs': 'mount -t tmpfs none m && touch m/inside',
  'a bind mount in a tmpfs': 'mount -t tmpfs none m && mkdir m/n && mount --bind "$OUTSIDE" m/n',
  'a bind mount on the session directory itself': 'mount --bind "$OUTSIDE" "$XDG_RUNTIME_DIR"',
};

for (const [what, lines] of Object.entries(MOUNTS)) {
  needsRoot(`${what} is detached at the end`, async t => {
    await isDetached(t, lines);
  });
}

const FUSE_MOUNTS: Readonly<Record<string, string>> = {
  'a FUSE mount': 'bindfs "$OUTSIDE" m',
  'a FUSE mount whose server was killed': `${serverOf('m')}; kill -KILL "$server"; while stat m >/dev/null 2>&1; do :; done`,
};

for (const [what, lines] of Object.entries(FUSE_MOUNTS)) {
  needsFuse(`${what} is detached at the end`, async t => {
    await isDetached(t, lines);
  });
}

/** A server that is no child, does not bear the session's variables, and so is none of ours; its pid is in $server. */
function serverOf(point: string): string {
  return `server=$(env -i PATH="$PATH" setsid sh -c 'echo $$; exec bindfs -f "$1" "$2" >/dev/null 2>&1' sh "$OUTSIDE" ${point} &); while ! test -e ${point}/file; do :; done`;
}

needsFuse('a FUSE mount whose server hangs is detached at the end', async t => {
  const run = t.context.start([...namespace, '--', 'sh', '-ec', `cd "$XDG_RUNTIME_DIR"; mkdir m; ${serverOf('m')}; kill -STOP "$server"; echo "$server"; exit 6`], {
    program,
    environment: {OUTSIDE: makeOutside(t.context)},
  });
  const {code, stdout, stderr} = await run.result;
  kill(Number(stdout));
  t.is(stderr, '');
  t.is(code, 6);
  t.is(outsideState(t.context), 'file: precious');
});

needsRoot('kill -9: the keeper detaches what was mounted', async t => {
  const run = t.context.start([...namespace, '--', 'sh', '-ec', 'cd "$XDG_RUNTIME_DIR"; mkdir m; mount --bind "$OUTSIDE" m; echo ready; exec tail -f /dev/null'], {
    program,
    environment: {OUTSIDE: makeOutside(t.context)},
  });
  await run.line(/^ready$/);
  kill(run.pid);
  await t.context.assertNothingLeft();
  t.is(outsideState(t.context), 'file: precious');
});

needsFuse('an ordinary user\'s FUSE mount whose server was killed is detached at the end', async t => {
  const bench = t.context;
  const device = 'mount -t tmpfs none /mnt; mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse';
  const command = `cd "$XDG_RUNTIME_DIR"; mkdir m; ${serverOf('m').replace('bindfs -f', 'bindfs --no-allow-other -f')}; kill -KILL "$server"; while stat m >/dev/null 2>&1; do :; done; exit 6`;
  t.like(await runAsNobody(bench, command, device).result, {stderr: '', code: 6});
  t.is(outsideState(bench), 'file: precious');
});

needsRoot('a mount that cannot be detached is left, with a warning', async t => {
  const bench = t.context;
  const go = join(bench.base, 'go');
  const run = runAsNobody(bench, `mkdir "$XDG_RUNTIME_DIR/m"; echo "$XDG_RUNTIME_DIR"; while ! test -e ${go}; do sleep 0.05; done; exit 6`);
  const directory = await run.line(/^\//);
  t.is((await bench.run(['-t', String(run.pid), '-m', 'mount', '--bind', join(bench.base, 'outside'), `${directory}/m`], {program: 'nsenter'})).code, 0);
  writeFileSync(go, '');
  const {code, stderr} = await run.result;
  t.is(stderr, `jobbus-run: removing ${directory}/m failed: a file system is mounted there; remove it by hand\n`);
  t.is(code, 6);
  t.is(outsideState(bench), 'file: precious');
  // The mount has gone with its namespace.
  rmSync(join(directory, '..'), {recursive: true});
});

needsRoot("an ordinary user's closed directories, links to everything and hard links are removed, and nothing else", async t => {
  const command = `cd "$XDG_RUNTIME_DIR"; mkdir -p closed/in none; touch closed/file none/file; ln -s / root; ln -s "$OUTSIDE" outside
    ln "$OUTSIDE/file" link; chmod 500 closed/in closed; chmod 0 none; exit 6`;
  t.like(await runAsNobody(t.context, command).result, {stderr: '', code: 6});
  t.is(outsideState(t.context), 'file: precious');
  t.is(statSync(join(t.context.base, 'outside/file')).nlink, 1);
});

test('mounts are read from mountinfo as they are written there', async t => {
  const mountinfo = '25 1 8:1 / / rw shared:1 master:2 - ext4 /dev/root rw\n125 25 0:32 / /a\\040-\\040b\\134c\\012 rw - fuse.sshfs host:/a\\040-\\040b rw,user_id=0\n';
  const found = await resultInEngine(t.context, {'system/mounts': 'parseMounts'}, 'const result = parseMounts(process.argv[1]);', mountinfo);
  t.deepEqual(found, [{id: '25', point: '/', type: 'ext4'}, {id: '125', point: '/a - b\\c\n', type: 'fuse.sshfs', owner: 0}]);
});

/** Runs the lines, in the session directory, as the command of a run that ends with 6. */
async function isDetached(t: ExecutionContext<Bench>, lines: string): Promise<void> {
  const {code, stderr} = await t.context.run([...namespace, '--', 'sh', '-ec', `cd "$XDG_RUNTIME_DIR"; mkdir m; ${lines}; exit 6`], {
    program,
    environment: {OUTSIDE: makeOutside(t.context)},
  });
  t.is(stderr, '');
  t.is(code, 6);
  t.deepEqual(t.context.sessions(), []);
  t.is(outsideState(t.context), 'file: precious');
}

/** In a mount namespace of its own, behind shell lines of root's. */
function runAsNobody(bench: Bench, command: string, lines = ''): ReturnType<Bench['start']> {
  chmodSync(bench.base, 0o1777);
  const install = installFor(bench);
  const {words} = inMountNamespace(lines, ['setpriv', ...asNobody(install, '--', 'sh', '-ec', command)]);
  return bench.start(words, {
    program,
    environment: {OUTSIDE: makeOutside(bench)},
  });
}

/** A directory of the user's, with a file. */
function makeOutside({base}: Bench): string {
  const outside = join(base, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'file'), 'precious');
  chownSync(outside, Number(NOBODY), Number(NOBODY));
  chownSync(join(outside, 'file'), Number(NOBODY), Number(NOBODY));
  return outside;
}

function outsideState({base}: Bench): string {
  return `file: ${readFileSync(join(base, 'outside/file'), 'utf8')}`;
}
