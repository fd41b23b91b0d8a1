/** At a terminal: a command that stops itself is a stopped job, and one that a key has ended ends the loop around it. */

import {binary, test, useBench} from './helpers/jobbus.js';
import {startTerminal} from './helpers/terminal.js';

useBench();

test('a command that stops itself is a stopped job, and goes on with fg', async t => {
  const terminal = await startTerminal(t.context.environment);
  terminal.type(`${binary} sh -c 'echo stopping; kill -STOP $$; echo went on; exit 7'\n`);
  await terminal.expect(/stopping\n/);
  await terminal.expect(/Stopped/);
  terminal.type('fg; echo "status $?"\n');
  await terminal.expect(/went on\n/);
  await terminal.expect(/status 7\n/);
  await terminal.end();
  t.pass();
});

test('suspend in an inner shell gives the terminal to the outer, and fg gives it back', async t => {
  const terminal = await startTerminal(t.context.environment);
  terminal.type(`${binary} env PS1='inner> ' bash --norc --noprofile --noediting -i\n`);
  await terminal.expect(/inner> /);
  terminal.type('suspend\n');
  await terminal.expect(/Stopped/);
  await terminal.expect(/prompt> /);
  terminal.type('echo outer $((40 + 2))\n');
  await terminal.expect(/outer 42\n/);
  terminal.type('fg\n');
  await terminal.expect(/inner> /);
  terminal.type('echo inner $((40 + 3))\n');
  await terminal.expect(/inner 43\n/);
  terminal.type('exit\n');
  await terminal.expect(/prompt> /);
  await terminal.end();
  t.pass();
});

test("Ctrl-C ends a shell's loop around jobbus-run, as it does bare", async t => {
  for (const prefix of ['', binary]) {
    const terminal = await startTerminal(t.context.environment);
    terminal.type(`for i in 1 2 3; do ${prefix} sh -c 'echo running; exec tail -f /dev/null'; echo "after $i"; done\n`);
    await terminal.expect(/running\n/);
    terminal.press('C');
    await terminal.expect(/prompt> /);
    terminal.type('echo over $?\n');
    await terminal.expect(/over 130\n/);
    t.notRegex(terminal.output(), /after \d\n/, prefix);
    await terminal.end();
  }
});
