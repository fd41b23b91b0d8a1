/** At a terminal jobbus-run and its command are one job, as the command alone would be. */

import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {binary, fixture, test, useBench, type Bench} from './helpers/jobbus.js';
import {childrenOf, eventually, isPending, viewProcess} from './helpers/processes.js';
import {startCounterIn, startTerminal, type Job} from './helpers/terminal.js';

useBench();

async function startJob(t: ExecutionContext<Bench>, wrapped: boolean, words: string, prefix = ''): Promise<Job> {
  return startCounterIn(await startTerminal(t.context.environment), wrapped, words, prefix);
}

async function stopped(...pids: readonly number[]): Promise<void> {
  await eventually('the job to stop', () => pids.every(pid => viewProcess(pid)?.state === 'T'));
}

async function running(...pids: readonly number[]): Promise<void> {
  await eventually('the job to run', () => pids.every(pid => viewProcess(pid)?.state !== 'T'));
}

for (const wrapped of [false, true]) {
  const how = wrapped ? 'under jobbus-run' : 'bare';

  test.serial(`Ctrl-C, Ctrl-\\ and a new window size arrive once, ${how}`, async t => {
    const job = await startJob(t, wrapped, '');
    const actions: ReadonlyArray<[NodeJS.Signals, () => void]> = [
      ['SIGINT', () => job.terminal.press('C')],
      ['SIGQUIT', () => job.terminal.press('\\')],
      ['SIGTSTP', () => job.terminal.press('Z')],
      ['SIGWINCH', job.terminal.resize],
    ];
    for (const [signal, act] of actions) {
      act();
      await eventually(`${signal} to arrive`, () => job.count(signal) > 0);
      await job.settle();
      t.is(job.count(signal), 1, signal);
    }

    await job.end();
  });

  test.serial(`Ctrl-Z stops the job, fg and bg continue it, ${how}`, async t => {
    const {terminal, task, command, count, settle, end} = await startJob(t, wrapped, 'TSTP');
    for (const [resume, goal] of [['fg', 1], ['bg', 2], ['fg', 3]] as const) {
      if (goal < 3) {
        terminal.press('Z');
        await terminal.expect(/Stopped/);
        await stopped(task, command);
      }

      terminal.type(`${resume}\n`);
      await eventually('CONT to arrive', () => count('SIGCONT') >= Math.min(goal, 2));
      await running(task, command);
    }

    await settle();
    // A job that runs in the background needs no CONT to come to the foreground, and bash sends one all the same, or not.
    t.true(count('SIGCONT') >= 2 && count('SIGCONT') <= 3, `${count('SIGCONT')}`);
    await end();
  });

  test.serial(`a hang-up reaches the command, ${how}`, async t => {
    const terminal = await startTerminal(t.context.environment);
    const counts = join(t.context.base, 'counts');
    const steps = join(t.context.base, 'steps');
    terminal.type(`${wrapped ? `${binary} -v -- ` : ''} ${fixture('count-signals')} >${counts} 2>${steps}\n`);
    const read = (file: string): string => existsSync(file) ? readFileSync(file, 'utf8') : '';
    const command = Number(await eventually('the counter to start', () => /ready (\d+)\n/.exec(read(counts))?.[1]));
    await eventually('jobbus-run to forward', () => !wrapped || read(steps).includes(` as process ${command}\n`));
    const task = childrenOf(terminal.shell)[0]!.pid;
    await terminal.hangUp();
    await eventually('HUP', () => read(counts).includes('SIGHUP'));
    if (wrapped) {
      process.kill(task, 'SIGURG');
      await eventually('URG', () => read(counts).includes('SIGURG'));
    }

    // The shell sends one to its jobs, and the kernel one to the foreground when the shell has gone.
    const hangUps = read(counts).split('\n').filter(line => line === 'SIGHUP').length;
    t.true(hangUps === 1 || hangUps === 2, `${hangUps}`);
    t.notRegex(read(steps), /SIGHUP forwarded/);
    process.kill(command, 'SIGKILL');
  });

  test.serial(`a shell as the command has job control, ${how}`, async t => {
    const terminal = await startTerminal(t.context.environment);
    terminal.type(`${wrapped ? binary : ''} bash --norc --noprofile --noediting -i\n`);
    await terminal.expect(/prompt> /);
    terminal.type('echo "level $((SHLVL + 0)) $-"; cat\n');
    await terminal.expect(/level \d+ \w*m\w*\n/);
    terminal.type('one\n');
    await terminal.expect(/^one\n/m);
    terminal.press('Z');
    await terminal.expect(/Stopped +cat\n/);
    terminal.type('fg\n');
    await terminal.expect(/cat\n/);
    terminal.press('C');
    await terminal.expect(/prompt> /);
    terminal.type('exit\n');
    await terminal.expect(/exit\nprompt> /);
    terminal.type('echo back in $$\n');
    t.is((await terminal.expect(/back in (\d+)\n/))[1], String(terminal.shell));
    t.notRegex(terminal.output(), /no job control/);
    await terminal.end();
  });

  test.serial(`vim survives Ctrl-Z and fg, ${how}`, async t => {
    const terminal = await startTerminal(t.context.environment);
    const file = join(t.context.base, 'text');
    writeFileSync(file, 'text\n');
    terminal.type(`${wrapped ? binary : ''} vim -u NONE -N ${file}\n`);
    await terminal.expect(/text/);
    const [job] = childrenOf(terminal.shell);
    terminal.type('ihello \x1b');
    await terminal.expect(/hello/);
    terminal.press('Z');
    await terminal.expect(/Stopped/);
    await stopped(job!.pid);
    terminal.type('fg\n');
    await running(job!.pid);
    await terminal.expect(/hello text/);
    terminal.type(':wq\r');
    await terminal.expect(/prompt> /);
    t.is(readFileSync(file, 'utf8'), 'hello text\n');
    await terminal.end();
  });

  for (const redirection of ['', '2>/dev/null', '>/dev/null 2>&1', '</dev/null']) {
    test.serial(`what stty sets remains, ${how} ${redirection}`, async t => {
      const terminal = await startTerminal(t.context.environment);
      terminal.type(`${wrapped ? binary : ''} stty -F /dev/tty -ixon erase ^H ${redirection}; stty -a\n`);
      t.regex((await terminal.expect(/erase = [^]*prompt> /))[0], /erase = \^H;[^]*-ixon/);
      await terminal.end();
    });
  }
}

test.serial('TSTP to the task alone stops command and task, and CONT wakes both', async t => {
  const {terminal, task, command, count, settle, end} = await startJob(t, true, 'TSTP');
  process.kill(task, 'SIGTSTP');
  await stopped(task, command);
  // Before it runs on: a shell that has not looked by then never learns that its job had stopped.
  await terminal.expect(/Stopped/);
  process.kill(task, 'SIGCONT');
  await eventually('CONT to arrive', () => count('SIGCONT') > 0);
  await running(task, command);
  await settle();
  t.is(count('SIGCONT'), 1);
  terminal.type('fg\n');
  await end();
});

test.serial('TSTP to the task alone, and CONT right behind it, leaves both running', async t => {
  const {task, command, count, settle, end} = await startJob(t, true, 'TSTP');
  process.kill(task, 'SIGTSTP');
  await eventually('TSTP to be taken', () => !isPending(task, 'SIGTSTP'));
  process.kill(task, 'SIGCONT');
  await eventually('CONT to arrive', () => count('SIGCONT') > 0);
  await running(task, command);
  await settle();
  await end();
  t.pass();
});

for (const [what, prefix, words] of [
  ['handles it', '', ''],
  ['ignores it', 'env --ignore-signal=TSTP', 'TSTP'],
  ['is in a session of its own, where nobody could continue it', 'setsid', 'TSTP'],
] as const) {
  test.serial(`TSTP to the task alone does not stop it when the command ${what}`, async t => {
    const job = await startJob(t, true, words, prefix);
    process.kill(job.task, 'SIGTSTP');
    await job.terminal.expect(/jobbus-run: SIGTSTP forwarded to the command\n/);
    await job.settle();
    t.not(viewProcess(job.task)?.state, 'T');
    t.is(job.count('SIGTSTP'), words === '' ? 1 : 0);
    await job.end();
  });
}
