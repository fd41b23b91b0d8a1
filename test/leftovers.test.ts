/** Who ends well and leaves something running is told what becomes of it. */

import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fixture, test, useBench} from './helpers/jobbus.js';
import {saversOf} from './helpers/savers.js';
import {withEchoService} from './helpers/sessions.js';

useBench();

test('one line says how many are left, names the first, and names --wait', async t => {
  const {code, stderr} = await t.context.run(['--', 'sh', '-c', 'for each in 1 2 3 4 5 6; do sleep 1000 & done']);
  t.is(code, 0);
  t.is(stderr, 'jobbus-run: "sh" has ended and left 6 processes running (sleep, sleep, sleep, sleep, sleep, …), which the end of the session ends; to go on until they have ended, use --wait\n');
});

test('with --verbose, each is named, with its pid', async t => {
  const {stderr} = await t.context.run(['-v', '--', 'sh', '-c', 'sleep 1000 & tail -f /dev/null &']);
  t.regex(stderr, /^jobbus-run: "sh" has ended and left 2 processes running \((sleep, tail|tail, sleep)\), /m);
  t.regex(stderr, /^jobbus-run: ending sleep, process \d+, which is left$/m);
  t.regex(stderr, /^jobbus-run: ending tail, process \d+, which is left$/m);
});

for (const [what, options, words, code] of [
  ['a command that fails', [], ['sh', '-c', 'sleep 1000 & exit 1'], 1],
  ['--wait', ['--wait'], ['sh', '-c', 'sleep 0.3 &'], 0],
] as const) {
  test(`nothing is said of ${what}`, async t => {
    t.like(await t.context.run([...options, '--', ...words]), {code, stderr: ''});
  });
}

test('what ends in a moment, as it has read the command\'s output to its end, does so by itself', async t => {
  const [file, ready] = [join(t.context.base, 'file'), join(t.context.base, 'ready')];
  const reader = `exec perl -e 'open $ready, ">", "${ready}"; print while <STDIN>; select undef, undef, undef, 0.01' >${file}`;
  t.like(await t.context.run(['--', 'bash', '-c', `exec > >(${reader}); until [ -e ${ready} ]; do sleep 0.02; done; seq 100`]), {code: 0, stderr: ''});
  t.regex(readFileSync(file, 'utf8'), /\n100\n$/);
});

test('nothing is said where a signal has asked for the end', async t => {
  const savers = saversOf(t.context);
  const run = t.context.start(['--stop-timeout', '60', '--', 'sh', '-c', `trap 'exit 0' TERM; ${savers.words('near')} & wait`]);
  await savers.ready(run, 'near');
  process.kill(run.pid, 'SIGTERM');
  await run.line(/^near SIGTERM/);
  savers.go();
  t.like(await run.result, {code: 0, stderr: ''});
});

for (const [what, start] of [
  ['that the bus has started', 'dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Echo uint32:0'],
  ['that the command has started in the bus\'s place', 'dbus-test-tool echo --name=org.example.Echo >/dev/null &'],
] as const) {
  test(`nothing is said of a service ${what}`, async t => {
    const go = join(t.context.base, 'go');
    const owned = 'until dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetNameOwner string:org.example.Echo >/dev/null 2>&1; do sleep 0.02; done';
    writeFileSync(go, '');
    t.like(await t.context.run(['--', 'sh', '-c', `${start}\n${owned}; exec ${fixture('waits-for-file')} ${go} 0`], {environment: withEchoService(t.context)}), {code: 0, stderr: ''});
  });
}
