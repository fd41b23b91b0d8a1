/** At a terminal: a command that stops itself is a stopped job, and one that a key has ended ends the loop around it. */

import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, test, useBench} from './helpers/jobbus.js';
import {childrenOf, eventually, viewProcess} from './helpers/processes.js';
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

/** Whom somebody stops and continues, in this order. */
const PID_BY_PID: Readonly<Record<string, {readonly stopped: readonly string[]; readonly continued: readonly string[]}>> = {
  'the command alone': {stopped: ['command'], continued: ['command']},
  'each process, jobbus-run first': {stopped: ['jobbus-run', 'command', 'sentinel'], continued: ['jobbus-run', 'command', 'sentinel']},
};

for (const [whom, {stopped, continued}] of Object.entries(PID_BY_PID)) {
  test(`who stops and continues ${whom}, pid by pid, holds nothing up, and the command gets each CONT once`, async t => {
    const go = join(t.context.base, 'go');
    const terminal = await startTerminal(t.context.environment);
    terminal.type(`${binary} sh -c 'trap "echo went on" CONT; echo "ready $PPID $$"; until [ -e ${go} ]; do sleep 0.05; done; exit 7' &\n`);
    const [, first, second] = await terminal.expect(/ready (\d+) (\d+)\n/);
    const sentinel = await eventually('the sentinel', () => childrenOf(Number(first)).find(({words}) => words[0] === 'jobbus-sentinel'));
    const pids: Readonly<Record<string, number>> = {'jobbus-run': Number(first), 'command': Number(second), 'sentinel': sentinel.pid};
    const isStopped = (name: string): boolean => viewProcess(pids[name]!)?.state === 'T';
    stopped.forEach(name => process.kill(pids[name]!, 'SIGSTOP'));
    await eventually('the stop', () => ['jobbus-run', 'command'].every(isStopped));
    for (const name of continued) {
      process.kill(pids[name]!, 'SIGCONT');
      // It has seen that the command is stopped, and stops again.
      await eventually('the second stop', () => name !== 'jobbus-run' || isStopped(name));
    }

    await eventually('both to go on', () => !['jobbus-run', 'command'].some(isStopped));
    writeFileSync(go, '');
    terminal.type('wait %1; echo "status $?"\n');
    await terminal.expect(/status 7\n/);
    t.is(terminal.output().match(/went on\n/g)?.length, 1);
    await terminal.end();
  });
}
