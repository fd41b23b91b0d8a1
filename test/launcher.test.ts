/** What is called by its name is jobbus-run whole: the supervisor that belongs to it, and programs that nobody else has put in its way. */

import {chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, inMountNamespace, needsRoot, test, useBench} from './helpers/jobbus.js';

useBench();

test('what the launcher says is one printable line, whatever the names in it', async t => {
  const place = join(t.context.base, 'no\u001B[2J\u009B\njobbus-run: forged\u202E/bin');
  mkdirSync(place, {recursive: true});
  copyFileSync(binary, join(place, 'jobbus-run'));
  const {code, stdout, stderr} = await t.context.run(['--', 'true'], {program: join(place, 'jobbus-run')});
  t.deepEqual([code, stdout], [125, '']);
  t.regex(stderr, /^jobbus-run: starting .*forged.* failed: No such file or directory; .*\n$/);
  t.notRegex(stderr.slice(0, -1), /[\p{C}\p{Zl}\p{Zp}]/u);
});

const supervisor = join(dirname(dirname(binary)), 'lib/jobbus-run/supervisor');

for (const [what, line, expected] of [
  ['called by itself', 'exec "$0"', /^jobbus-run: starting the supervisor failed: it is not to be called by itself; call jobbus-run\n$/],
  ['handed another process\'s record', 'exec env -i JOBBUS_LAUNCHER=2:0.0.0:caller:1 "$0"', /^jobbus-run: starting the supervisor failed: it is not to be called by itself; call jobbus-run\n$/],
  ['called by a launcher of another version', 'exec env -i "JOBBUS_LAUNCHER=2:0.0.0:caller:$$" "$0"', /^jobbus-run: starting the supervisor failed: it is of version \S+, and jobbus-run of 0\.0\.0; unpack one archive whole\n$/],
] as const) {
  test(`a supervisor that is ${what} says so, and starts nothing`, async t => {
    const {code, stdout, stderr} = await t.context.run(['-c', `${line} -- echo started`, supervisor], {program: '/bin/sh'});
    t.deepEqual([code, stdout], [125, '']);
    t.regex(stderr, expected);
  });
}

needsRoot('where the kernel hides our own environment from us, one line says so, in a shell too', async t => {
  const script = 'import os, sys; os.setresuid(0, 65534, 0); os.execv(sys.argv[1], sys.argv[1:])';
  for (const [words, expected] of [[['--', 'true'], ''], [['--sh-syntax'], 'false\n']] as const) {
    const {code, stdout, stderr} = await t.context.run(['-c', script, binary, ...words], {program: '/usr/bin/python3'});
    t.deepEqual([code, stdout], [125, expected]);
    t.regex(stderr, /^jobbus-run: starting the supervisor failed: the kernel hides its \/proc\/self\/environ; [^\n]*\n$/);
  }
});

/** Of all that jobbus-run starts by name. */
const OURS = ['dbus-daemon', 'getent', 'fusermount3', 'fusermount', 'umount'];

function executable(path: string, content: string): void {
  writeFileSync(path, content);
  chmodSync(path, 0o755);
}

needsRoot('programs of ours are not looked for in what PATH has that is not absolute; the command is, as a shell does', async t => {
  const place = join(t.context.base, 'place');
  mkdirSync(place, {recursive: true});
  for (const name of OURS) {
    executable(join(place, name), `#!/bin/sh\necho ${name} >>${t.context.base}/called; exit 1\n`);
  }

  executable(join(place, 'the-command'), '#!/bin/sh\nmkdir "$XDG_RUNTIME_DIR/mounted"; /usr/bin/mount -t tmpfs none "$XDG_RUNTIME_DIR/mounted"; exit 6\n');
  // As npm installs it.
  symlinkSync(binary, join(t.context.base, 'link'));
  const {program, words} = inMountNamespace(':', [join(t.context.base, 'link'), '--dbus-daemon', 'dbus-daemon', '--', 'the-command']);
  // jobbus-run itself goes to /.
  for (const relative of ['', '.', '../place:', './', `${place.slice(1)}:.`]) {
    const {code, stderr} = await t.context.run(words, {program, cwd: place, environment: {PATH: `${relative}:/usr/bin:/bin`}});
    t.is(stderr, '', relative);
    t.is(code, 6);
    t.false(existsSync(join(t.context.base, 'called')), relative);
  }
});
