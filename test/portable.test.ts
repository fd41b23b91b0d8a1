/** The archive with its own Node, on a system that has none. */

import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {execa} from 'execa';
import {needsRoot, project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {asNobody} from './helpers/nobody.js';
import {PORTABLE_TIME, unpackedPortable} from './helpers/portable.js';
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
  echo 'no library' >mnt/traps/libstdc++.so.6
  mount --bind "$2" "mnt/a place"
  mount -o remount,bind,ro "mnt/a place"
  shift 2
  exec /usr/sbin/chroot . "$@"`;

interface System {
  readonly run: (bench: Bench, words: readonly string[]) => Promise<Result>;
  readonly words: readonly string[];
}

let system: System | undefined;

let unpacked = '';

test.before(async t => {
  if (process.getuid!() !== 0) {
    return;
  }

  t.timeout(ROOT_DIRECTORY_TIME + PORTABLE_TIME);
  let root;
  [root, unpacked] = await Promise.all([rootDirectory(), unpackedPortable()]);
  const words = ['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-ec', IN_ROOT, 'sh', root, unpacked];
  system = {words, run: async (bench, rest) => bench.run([...words, ...rest], {program: 'unshare', environment: {JOBBUS_RUNTIME_BASE: ''}})};
});

const AS_USER = ['/usr/bin/setpriv', ...asNobody()];
test('what is not the Node that was chosen is not taken', async t => {
  const script = join(project, 'portable.js');
  const [, version] = /NODE_VERSION = '(.+)'/.exec(readFileSync(script, 'utf8'))!;
  for (const [name, content] of [
    ['package.json', JSON.stringify({name: 'jobbus-run', version: '1.0.0'})], ['dist/jobbus-run.1', ''], [`build/portable/node-linux-${process.arch}-${version!}.tgz`, 'a trap'],
  ] as const) {
    mkdirSync(dirname(join(t.context.base, name)), {recursive: true});
    writeFileSync(join(t.context.base, name), content);
  }

  const {code, stdout, stderr} = await t.context.run([script], {program: process.execPath, cwd: t.context.base});
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /is not the Node that was chosen: its checksum is sha512-/);
  t.deepEqual(readdirSync(t.context.base).filter(name => name.endsWith('.gz')), []);
});

const ASK = ['/usr/bin/dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

for (const [who, become] of [['root', []], ['an ordinary user', AS_USER]] as const) {
  needsRoot(`without Node, ps and machine-id, and with nothing on PATH, as ${who}`, async t => {
    const look = 'for file in /usr/bin/node /usr/bin/ps /etc/machine-id; do [ -e $file ] && echo $file; done; status=0; "$@" || status=$?; ls -A /tmp; exit $status';
    const words = ['/bin/sh', '-c', look, 'sh', ...become, '/usr/bin/env', 'PATH=/mnt', `${PLACE}/bin/jobbus-run`, '--', ...ASK];
    const {code, stdout, stderr} = await system!.run(t.context, words);
    t.is(stderr, '');
    t.is(code, 0);
    t.regex(stdout, /^\s*[0-9a-f]{32}\s*$/, 'an answer of the bus, and nothing is left in /tmp');
  });
}

needsRoot("the command's PATH and libraries are its own, and not those of our Node", async t => {
  const traps = '/mnt/traps';
  const words = ['/usr/bin/env', '-i', `PATH=${traps}`, `LD_LIBRARY_PATH=${traps}`, 'LD_PRELOAD=libc.so.6', `${PLACE}/bin/jobbus-run`, '--', '/usr/bin/env'];
  const {code, stdout, stderr} = await system!.run(t.context, words);
  t.is(stderr, '');
  t.is(code, 0);
  const names = stdout.trimEnd().split('\n').filter(entry => !/^(XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)=/.test(entry));
  t.deepEqual(names.sort(), ['LD_LIBRARY_PATH=/mnt/traps', 'LD_PRELOAD=libc.so.6', 'PATH=/mnt/traps']);
  const script = `LD_LIBRARY_PATH=${traps} '${PLACE}/lib/node' --version`;
  t.not((await system!.run(t.context, ['/bin/sh', '-c', script])).code, 0, 'which could not run with them');
});

needsRoot('with libraries that our Node could not run with, the keeper cleans up after kill -9', async t => {
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
  t.true(stdout.includes(`${PLACE}/lib/node`), stdout);
  t.true(['LICENSE', 'README.md', 'bin', 'dist', 'lib', 'share'].every(name => readdirSync(unpacked).includes(name)));
  t.deepEqual(readdirSync(join(unpacked, 'lib')).sort(), ['LICENSE.node', 'node']);
  const {stdout: page} = await execa('man', ['--path'], {env: {PATH: `${join(unpacked, 'bin')}:${process.env.PATH!}`}, extendEnv: true});
  t.true(page.split(':').includes(join(unpacked, 'share/man')), 'man finds it by PATH');
});
