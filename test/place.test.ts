import {chmodSync, chownSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, inMountNamespace, needsRoot, needsUser, test, useBench, type Result} from './helpers/jobbus.js';
import {NOBODY} from './helpers/nobody.js';

useBench();

/** One clear line, and no start. */
function refusal(base: string, reason: RegExp): (result: Result) => boolean {
  return ({code, stdout, stderr}) =>
    code === 125 && stdout === '' && /^jobbus-run: making .* failed: .*\n$/.test(stderr) && stderr.includes(base) && reason.test(stderr) && stderr.includes('--runtime-base');
}

for (const [what, prepare, reason] of [
  ['is missing', () => undefined, /no such file or directory/],
  ['is a file', (base: string) => writeFileSync(base, ''), /not a directory/],
  ['is below a file', (base: string) => {
    writeFileSync(`${base}-file`, '');
    return `${base}-file/base`;
  }, /not a directory/],
  ['may be written by all and is not sticky', (base: string) => {
    mkdirSync(base);
    chmodSync(base, 0o777);
  }, /not sticky/],
] as const) {
  test(`a base that ${what} is refused`, async t => {
    const asked = join(t.context.base, 'base');
    const base = prepare(asked) ?? asked;
    const result = await t.context.run(['--runtime-base', base, '--', 'echo', 'started']);
    t.true(refusal(base, reason)(result), JSON.stringify(result));
  });
}

needsUser('a base that is not writable is refused', async t => {
  const base = join(t.context.base, 'base');
  mkdirSync(base, 0o500);
  const result = await t.context.run(['--runtime-base', base, '--', 'echo', 'started']);
  t.true(refusal(base, /permission denied/)(result), JSON.stringify(result));
});

needsRoot("a base that is another user's is refused", async t => {
  const base = join(t.context.base, 'base');
  mkdirSync(base);
  chmodSync(base, 0o1777);
  chownSync(base, Number(NOBODY), Number(NOBODY));
  const result = await t.context.run(['--runtime-base', base, '--', 'echo', 'started']);
  t.true(refusal(base, /belongs to another user/)(result), JSON.stringify(result));
});

test('a base that is no absolute path, named by the variable, is refused', async t => {
  mkdirSync(join(t.context.base, 'base'));
  const result = await t.context.run(['--', 'echo', 'started'], {cwd: t.context.base, environment: {JOBBUS_RUNTIME_BASE: 'base'}});
  t.like(result, {code: 125, stdout: '', stderr: 'jobbus-run: making a session directory failed: base: it is not an absolute path; the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n'});
});

/** A directory's path, below another one, with which the path of the bus has that many bytes. */
function baseName(above: string, bytes: number): string {
  const rest = `/jobbus-${process.getuid!()}/nojob-${'a'.repeat(16)}/bus`.length;
  const base = `${above}/${'é'.repeat(5)}`;
  return base + 'x'.repeat(bytes - rest - Buffer.byteLength(base));
}

function baseOf(bench: string, bytes: number): string {
  const base = baseName(bench, bytes);
  mkdirSync(base);
  return base;
}

const CALL = ['dbus-send', '--session', '--print-reply', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

for (const bytes of [97, 98, 99]) {
  test(`a path of the bus with ${bytes} bytes serves`, async t => {
    t.like(await t.context.run(['--runtime-base', baseOf(t.context.base, bytes), '--', ...CALL]), {code: 0, stderr: ''});
  });
}

for (const bytes of [100, 101, 107, 108, 109]) {
  test(`a path of the bus with ${bytes} bytes is refused with the limit`, async t => {
    const base = baseOf(t.context.base, bytes);
    const result = await t.context.run(['--runtime-base', base, '--', 'echo', 'started']);
    t.true(refusal(base, new RegExp(`would have ${bytes} bytes, and D-Bus takes 99`))(result), JSON.stringify(result));
  });
}

test('a base with a path of 4000 bytes that is not there is refused for that', async t => {
  const base = `/${'x/'.repeat(2000)}`;
  const result = await t.context.run(['--runtime-base', base, '--', 'echo', 'started']);
  t.true(refusal(base, /no such file/)(result), JSON.stringify(result));
});

/** Binds the longest socket that a service commonly adds. */
const BIND = 'mkdir "$XDG_RUNTIME_DIR/gvfsd" && echo "$XDG_RUNTIME_DIR" && exec /usr/bin/python3 -c "import os, socket; socket.socket(socket.AF_UNIX).bind(os.environ[\'XDG_RUNTIME_DIR\'] + \'/gvfsd/socket-XXXXXXXX\')"';

for (const [bytes, serves] of [[84, true], [85, true], [86, false], [87, false]] as const) {
  needsRoot(`a TMPDIR that makes the path of the directory ${bytes} bytes long ${serves ? 'serves, and services have room' : 'is passed over: services would have no room'}`, async t => {
    const {program, words} = inMountNamespace('mount --bind /tmp /tmp\nmount -o remount,bind,ro /tmp\nmount -t tmpfs none /mnt\nmkdir -p "$TMPDIR"');
    const environment = {JOBBUS_RUNTIME_BASE: '', TMPDIR: baseName('/mnt', bytes + '/bus'.length)};
    const {code, stdout, stderr} = await t.context.run([...words, '--', 'sh', '-c', BIND], {program, environment});
    t.is(stderr, '');
    t.is(code, 0);
    t.is(stdout.trim().startsWith(`${environment.TMPDIR}/`), serves, stdout);
    t.is(Buffer.byteLength(stdout.trim()) === bytes, serves);
  });
}

// Of a tmpfs, the root directory takes one of the inodes.
for (const [what, options, fill] of [
  ['no inode', 'nr_inodes=1', ''],
  ['an inode for one directory', 'nr_inodes=2', ''],
  ['no inode for the files of the bus', 'nr_inodes=3', ''],
  ['no space', 'size=4k', 'echo x >"$base/full"'],
] as const) {
  needsRoot(`a base with ${what} left is refused`, async t => {
    // Looks at what is left before the mount goes with its namespace.
    const look = 'status=0; "$@" || status=$?; ls "$JOBBUS_RUNTIME_BASE" | grep jobbus- && exit 99; exit $status';
    const {program, words} = inMountNamespace(`base=$JOBBUS_RUNTIME_BASE/small
      mkdir "$base"
      mount -t tmpfs -o ${options} none "$base"
      ${fill}
      export JOBBUS_RUNTIME_BASE="$base"`, ['sh', '-c', look, 'sh', binary, '--', 'echo', 'started']);
    const {code, stdout, stderr} = await t.context.run(words, {program});
    t.is(code, 125);
    t.is(stdout, '');
    t.regex(stderr, /^jobbus-run: .*no space left on device.*\n$/i);
  });
}

for (const [root, place] of [['7/.7', '/dev/shm'], ['node/7/.7/_tmp', '/dev/shm'], ['node/7/.8/_tmp', '/tmp'], ['node/7/.7/_tmp/mine', '/tmp']] as const) {
  needsRoot(`in a job whose /tmp is BASE/${root}, sessions go to ${place}`, async t => {
    const lines = `mount -t tmpfs none /mnt
      mkdir -p -m 1777 /mnt/install /mnt/${root}
      mount --bind "${dirname(dirname(binary))}" /mnt/install
      mount --bind /mnt/${root} /tmp`;
    const {program, words} = inMountNamespace(lines, ['/mnt/install/bin/jobbus-run', '--', 'sh', '-c', 'echo $XDG_RUNTIME_DIR']);
    const {code, stdout, stderr} = await t.context.run(words, {program, environment: {JOBBUS_RUNTIME_BASE: '', SLURM_JOB_ID: '7'}});
    t.deepEqual([code, stderr], [0, '']);
    t.true(stdout.startsWith(`${place}/jobbus-0/7-`), stdout);
  });
}

needsRoot('where /tmp is read-only, TMPDIR serves', async t => {
  const look = 'status=0; "$@" || status=$?; ls -A /mnt; exit $status';
  const {program, words} = inMountNamespace(`mount -t tmpfs none /mnt
    mount --bind /tmp /tmp
    mount -o remount,bind,ro /tmp`, ['sh', '-c', look, 'sh', binary, '--', 'sh', '-c', 'echo $XDG_RUNTIME_DIR']);
  const environment = {JOBBUS_RUNTIME_BASE: '', TMPDIR: '/mnt'};
  const {code, stdout, stderr} = await t.context.run(words, {program, environment});
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^\/mnt\/jobbus-0\/nojob-[a-z2-7]{16}\n$/, 'and nothing is left there');
});
