/** The release's archive, on a system that has neither Node nor a compiler. */

import {copyFileSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {execa} from 'execa';
import {ARCHIVE_TIME, COMMIT_TIME, releasedArchive, type Archive} from './helpers/archive.js';
import {needsRoot, project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {asNobody} from './helpers/nobody.js';
import {ROOT_DIRECTORY_TIME, rootDirectory} from './helpers/root-directory.js';

useBench();

/** The archive is unpacked at a path with spaces, and mounted read-only. */
const PLACE = '/mnt/a place';

/** Becomes the words in the root directory `$1`, with the unpacked archive `$2`; who that is and what it has in its environment, the words say. */
const IN_ROOT = `
  cd "$1"
  mount --rbind /dev dev
  mount -t proc proc proc
  mount -t tmpfs none tmp
  mount -t tmpfs none mnt
  mkdir "mnt/a place" mnt/traps
  echo 'no library' | tee mnt/traps/libm.so.6 >mnt/traps/libdbus-1.so.3
  mount --bind "$2" "mnt/a place"
  mount -o remount,bind,ro "mnt/a place"
  shift 2
  exec /usr/sbin/chroot . "$@"`;

interface System {
  readonly run: (bench: Bench, words: readonly string[]) => Promise<Result>;
  readonly words: readonly string[];
}

let system: System | undefined;

let archive: Archive | undefined;

test.before(async t => {
  if (process.getuid!() !== 0) {
    return;
  }

  t.timeout(ROOT_DIRECTORY_TIME + ARCHIVE_TIME);
  let root;
  [root, archive] = await Promise.all([rootDirectory(), releasedArchive()]);
  const words = ['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-ec', IN_ROOT, 'sh', root, archive.tree];
  system = {words, run: async (bench, rest) => bench.run([...words, ...rest], {program: 'unshare', environment: {JOBBUS_RUNTIME_BASE: ''}})};
});

const AS_USER = ['/usr/bin/setpriv', ...asNobody()];

const ASK = ['/usr/bin/dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

const MISSING = ['/usr/bin/node', '/usr/bin/nodejs', '/usr/bin/cc', '/usr/bin/gcc', '/usr/bin/ps', '/etc/machine-id'];

for (const [who, become] of [['root', []], ['an ordinary user', AS_USER]] as const) {
  needsRoot(`without Node, compiler, ps and machine-id, and with nothing on PATH, as ${who}`, async t => {
    const look = `for file in ${MISSING.join(' ')}; do [ -e $file ] && echo $file; done; status=0; "$@" || status=$?; ls -A /tmp; exit $status`;
    const words = ['/bin/sh', '-c', look, 'sh', ...become, '/usr/bin/env', 'PATH=/mnt', `${PLACE}/bin/jobbus-run`, '--', ...ASK];
    const {code, stdout, stderr} = await system!.run(t.context, words);
    t.is(stderr, '');
    t.is(code, 0);
    t.regex(stdout, /^\s*[0-9a-f]{32}\s*$/, 'an answer of the bus, and nothing is left in /tmp');
  });
}

needsRoot("the command's PATH and libraries are its own, and neither the engine's nor the daemon's", async t => {
  const traps = '/mnt/traps';
  const words = ['/usr/bin/env', '-i', `PATH=${traps}`, `LD_LIBRARY_PATH=${traps}`, 'LD_PRELOAD=libc.so.6', `${PLACE}/bin/jobbus-run`, '--', '/usr/bin/env'];
  const {code, stdout, stderr} = await system!.run(t.context, words);
  t.is(stderr, '');
  t.is(code, 0);
  const names = stdout.trimEnd().split('\n').filter(entry => !/^(XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)=/.test(entry));
  t.deepEqual(names.sort(), ['LD_LIBRARY_PATH=/mnt/traps', 'LD_PRELOAD=libc.so.6', 'PATH=/mnt/traps']);
  for (const program of [`${PLACE}/lib/jobbus-run/supervisor`, '/usr/bin/dbus-daemon']) {
    const result = await system!.run(t.context, ['/usr/bin/env', `LD_LIBRARY_PATH=${traps}`, program, '--version']);
    t.regex(result.stderr, /error while loading shared libraries/, `${program} could not run with them`);
  }
});

needsRoot('with libraries that the engine could not run with, the keeper cleans up after kill -9', async t => {
  const script = `export LD_LIBRARY_PATH=/mnt/traps
    '${PLACE}/bin/jobbus-run' -- /bin/sh -c 'echo up; exec sleep 600' &
    until [ -e /tmp/jobbus-0/*/bus ]; do sleep 0.02; done
    kill -9 $!
    wait $! 2>/dev/null
    until [ ! -e /tmp/jobbus-0 ]; do sleep 0.02; done
    echo gone`;
  const {stdout} = await system!.run(t.context, ['/bin/sh', '-c', script]);
  t.regex(stdout, /^(up\n)?gone\n$/);
});

needsRoot('--version, --doctor and the manual page are there too', async t => {
  t.regex((await system!.run(t.context, [`${PLACE}/bin/jobbus-run`, '--version'])).stdout, /^jobbus-run \d/);
  const {code, stdout} = await system!.run(t.context, [`${PLACE}/bin/jobbus-run`, '--doctor']);
  t.is(code, 0, stdout);
  const {stdout: page} = await execa('man', ['--path'], {env: {PATH: `${join(archive!.tree, 'bin')}:${process.env.PATH!}`}, extendEnv: true});
  t.true(page.split(':').includes(join(archive!.tree, 'share/man')), 'man finds it by PATH');
});

needsRoot("the archive is one tree, root's, in order, as old as the commit", async t => {
  const {stdout} = await t.context.run(['--list', '--verbose', '--full-time', '--utc', '--file', archive!.file], {program: 'tar'});
  const lines = stdout.trimEnd().split('\n').map(line => /^(\S+) (\S+) +\d+ (\S+ \S+) ([^/]+)\/(.*)$/.exec(line)!.slice(1));
  t.deepEqual(new Set(lines.map(([, owner, time, top]) => `${owner!} ${time!} ${top!}`)), new Set([`0/0 ${COMMIT_TIME} ${basename(archive!.file, '.tar.xz')}`]));
  t.deepEqual(lines.filter(([mode]) => !['drwxr-xr-x', '-rwxr-xr-x', '-rw-r--r--'].includes(mode!)), []);
  const names = lines.map(line => line[4]!);
  const order = names.map(name => name.replaceAll('/', '\0')); // A directory's files follow it.
  t.deepEqual(order, [...order].sort());
  const packed = ['CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'LICENSES', 'README.md', 'SECURITY.md', 'bin/', 'docs/', 'examples/', 'frame.js', 'lib/', 'package.json', 'share/', 'src/', 'supervisor.js'];
  t.deepEqual(names.filter(name => /^[^/]+\/?$/.test(name)), packed, 'what npm packs');
  t.deepEqual(lines.filter(([mode]) => mode === '-rwxr-xr-x').map(line => line[4]), [
    'bin/jobbus-run', 'examples/conda/build.sh', 'examples/epilog.sh', 'examples/open-ondemand/template/script.sh.erb', 'lib/jobbus-run/supervisor',
  ]);
});

test("what is not the engine that package-lock.json names is not taken for another architecture's", async t => {
  const {base} = t.context;
  const fakeNpm = `#!/bin/sh
    for directory; do :; done
    echo 'a trap' >"$directory/engine.tgz"
    echo '[{"filename": "engine.tgz"}]'`;
  writeFileSync(join(base, 'npm'), fakeNpm, {mode: 0o755});
  copyFileSync(join(project, 'package-lock.json'), join(base, 'package-lock.json'));
  const foreign = process.arch === 'x64' ? 'arm64' : 'x64';
  const words = ['--input-type=module', '--eval', `(await import('${join(project, 'engine.js')}')).engineOf('${foreign}')`];
  const {code, stderr} = await t.context.run(words, {program: process.execPath, cwd: base, environment: {PATH: `${base}:${process.env.PATH!}`}});
  t.is(code, 1);
  t.regex(stderr, /@oven\/bun-linux-\w+@[\d.]+ is not the engine that package-lock\.json names: its checksum is sha512-/);
  t.deepEqual(readdirSync(join(base, '.cache/engine')), []);
});

test('the licences tell of the engine that is taken', t => {
  const {packages} = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {packages: Record<string, {version: string}>};
  const engines = Object.keys(packages).filter(name => name.startsWith('node_modules/@oven/'));
  t.deepEqual(engines, ['node_modules/@oven/bun-linux-aarch64', 'node_modules/@oven/bun-linux-x64']);
  const licences = readFileSync(join(project, 'LICENSES'), 'utf8');
  engines.forEach(name => t.true(licences.includes(`contains Bun ${packages[name]!.version},`), name));
});
