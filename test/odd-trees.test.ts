/** Where the tree of the program is: on file systems that forbid much, another user's, with every byte in its path. */

import {chmodSync, mkdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {installInto} from './helpers/ground.js';
import {fixture, inMountNamespace, needsRoot, test, useBench, type Result} from './helpers/jobbus.js';
import {asNobody} from './helpers/nobody.js';
import {killed, withEchoService} from './helpers/sessions.js';
import {BASH} from './helpers/shells.js';

useBench();

const ASK = ['--', 'dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

function answers({code, stdout, stderr}: Result): boolean {
  return code === 0 && stderr === '' && /^\s*[0-9a-f]{32}\s*$/.test(stdout);
}

/** Runs a launcher where what is in the directory is mounted with these options. */
function mounted(directory: string, options: string, launcher: string): ReturnType<typeof inMountNamespace> {
  return inMountNamespace(`mount --bind "${directory}" "${directory}"\nmount -o remount,bind,${options} "${directory}"`, [launcher]);
}

needsRoot('on a read-only file system it runs, and so does its keeper after kill -9', async t => {
  const tree = join(t.context.base, 'tree');
  const {program, words} = mounted(tree, 'ro', installInto(tree));
  t.true(answers(await t.context.run([...words, ...ASK], {program})));
  const run = t.context.start([...words, '--', fixture('leaves-all')], {program, environment: withEchoService(t.context)});
  await run.line(/^ready$/);
  await killed(run);
  await t.context.assertNothingLeft();
});

needsRoot('a supervisor on a file system that executes nothing is told in one line, with 125', async t => {
  const tree = join(t.context.base, 'tree');
  const {program, words} = mounted(join(tree, 'lib'), 'noexec', installInto(tree));
  const {code, stdout, stderr} = await t.context.run([...words, ...ASK], {program});
  t.deepEqual([code, stdout], [125, '']);
  t.is(stderr, `jobbus-run: starting ${tree}/lib/jobbus-run/supervisor failed: Permission denied; make it executable, on a file system that allows that\n`);
});

needsRoot("another user's tree serves where one may read it; else it is told in one line, with 125", async t => {
  const launcher = installInto(join(t.context.base, 'tree'));
  const base = join(t.context.base, 'nobody');
  mkdirSync(base);
  chmodSync(base, 0o1777);
  const asked = async (): Promise<Result> => t.context.run(asNobody(launcher, ...ASK), {program: 'setpriv', environment: {JOBBUS_RUNTIME_BASE: base}});
  t.true(answers(await asked()));
  chmodSync(join(dirname(dirname(launcher)), 'lib/jobbus-run'), 0o700);
  const {code, stdout, stderr} = await asked();
  t.deepEqual([code, stdout], [125, '']);
  t.regex(stderr, /^jobbus-run: starting .*supervisor failed: Permission denied; make it executable, on a file system that allows that\n$/);
});

/** No shell takes this for one word, and no line holds it. */
const NASTY = ' two  blanks\t\'quotes"`$HOME`\\\nand a line;(x) \u{1F600}\u0001\u00FF ';

test('with every odd letter in its path it runs, cleans up after kill -9, and has --doctor speak in lines', async t => {
  const launcher = installInto(join(t.context.base, NASTY));
  t.true(answers(await t.context.run(ASK, {program: launcher})));
  const run = t.context.start(['--', fixture('leaves-all')], {program: launcher, environment: withEchoService(t.context)});
  await run.line(/^ready$/);
  await killed(run);
  await t.context.assertNothingLeft();
  const {code, stdout} = await t.context.run(['--doctor'], {program: launcher});
  t.is(code, 0);
  t.notRegex(stdout.replaceAll('\n', ''), /[\p{C}]/u);
});

test('with every odd letter in its path it gives a shell a session, and ends it with the shell', async t => {
  const launcher = installInto(join(t.context.base, NASTY));
  const [program = '', ...words] = BASH.words;
  const script = 'eval "$("$LAUNCHER" --sh-syntax)" && test -S "$XDG_RUNTIME_DIR/bus" && echo opened; exit 5';
  t.like(await t.context.run([...words, '-c', script], {program, environment: {LAUNCHER: launcher}}), {code: 5, stdout: 'opened\n', stderr: ''});
  t.deepEqual(t.context.sessions(), []);
});
