/** With --signal-all, a signal reaches all of the command's tree, each once, whoever sends it and to whom. */

import {QUICK, signalEach, treeOf} from './helpers/counter.js';
import {binary, test, useBench, type Bench, type Run} from './helpers/jobbus.js';
import {childrenOf, eventually} from './helpers/processes.js';
import {fence, saversOf, type Saver, type Savers} from './helpers/savers.js';
import {startTerminal} from './helpers/terminal.js';

useBench();

const SENDERS: Readonly<Record<string, (signal: NodeJS.Signals, pid: number) => number>> = {
  'the pid': (signal, pid) => signalEach(signal, [pid]),
  'the group': (signal, pid) => signalEach(signal, [-pid]),
  'the tree, parents first': (signal, pid) => signalEach(signal, treeOf(pid)),
  'the tree, children first': (signal, pid) => signalEach(signal, treeOf(pid).reverse()),
};

interface Started {
  readonly run: Run;
  readonly savers: Savers;
  readonly all: Readonly<Record<string, Saver>>;
}

/** Starts a shell and savers below it. @param lines of the shell, of each saver's words by its name */
async function start(bench: Bench, options: readonly string[], names: readonly string[], lines: (words: (name: string) => string) => string): Promise<Started> {
  const savers = saversOf(bench);
  const run = bench.start([...options, '--', 'sh', '-c', lines(savers.words)], {detached: true});
  const ready = await Promise.all(names.map(async name => [name, await savers.ready(run, name)] as const));
  return {run, savers, all: Object.fromEntries(ready)};
}

async function settled(run: Run, act: () => number): Promise<number> {
  const lines = (): number => run.errors().split('\n').filter(line => line.startsWith('jobbus-run: SIG')).length;
  const before = lines();
  const time = act();
  await eventually('it to be dealt with', () => lines() > before);
  return time;
}

for (const [sender, send] of Object.entries(SENDERS)) {
  test.serial(`a signal to ${sender} arrives once at each of the tree, in our group, outside, and in an inner session`, async t => {
    const started = await start(t.context, ['-v', '--signal-all'], ['near', 'far', 'inner'], words => `${words('near')} & setsid ${words('far')} & ${binary} -- ${words('inner')} & wait`);
    const {run, savers, all} = started;
    for (const signal of ['SIGWINCH', 'SIGURG', 'SIGCONT'] as const) {
      const counts = (): number[] => Object.values(all).map(({signals}) => signals().filter(each => each === signal).length);
      for (let time = Infinity; time > QUICK;) {
        const before = counts();
        time = await settled(run, () => send(signal, run.pid));
        await eventually(`${signal} to come everywhere`, () => counts().every((count, index) => count > before[index]!));
        // The inner one may take its time: what comes behind shows that it has dealt with this.
        await fence(run, all);
        if (time <= QUICK) {
          t.deepEqual(counts().map((count, index) => count - before[index]!), [1, 1, 1], signal);
        }
      }
    }

    savers.go();
    process.kill(run.pid, 'SIGTERM');
    t.is((await run.result).code, 143);
  });
}

for (const [sender, send] of Object.entries(SENDERS)) {
  test(`what stands between dies of a TERM to ${sender}; the application saves, and the exit waits for it`, async t => {
    const {run, savers, all} = await start(t.context, ['--signal-all', '--stop-timeout', '60'], ['near', 'far'], words => `${words('near')} & setsid ${words('far')} & wait`);
    send('SIGTERM', run.pid);
    await Promise.all(['near', 'far'].map(async name => run.line(new RegExp(`^${name} SIGTERM `))));
    await eventually('the command to end', () => childrenOf(run.pid).every(({words}) => words[0] !== 'sh'));
    await fence(run, all);
    savers.go();
    const {code, stdout, stderr} = await run.result;
    t.deepEqual([code, stderr], [143, '']);
    t.regex(stdout, /^near saved/m);
    t.regex(stdout, /^far saved/m);
    t.deepEqual(Object.values(all).map(({signals}) => signals()), [['SIGTERM', 'saved'], ['SIGTERM', 'saved']]);
  });
}

test('who saves longer than --stop-timeout is killed, and has got one TERM', async t => {
  const {run, all} = await start(t.context, ['--signal-all', '--stop-timeout', '0.3'], ['near'], words => `${words('near')} & wait`);
  process.kill(run.pid, 'SIGTERM');
  t.like(await run.result, {code: 143, stderr: ''});
  t.deepEqual(all.near!.signals(), ['SIGTERM']);
});

test('who ignores INT, as a shell\'s background job does, gets TERM at the end', async t => {
  const {run, savers, all} = await start(t.context, ['--signal-all', '--stop-timeout', '60'], ['near'], words => `${words('near')} & wait`);
  process.kill(run.pid, 'SIGINT');
  await run.line(/^near SIGTERM /);
  savers.go();
  t.is((await run.result).code, 130);
  t.deepEqual(all.near!.signals(), ['SIGINT', 'SIGTERM', 'SIGCONT', 'saved']);
});

test('what a process starts to save its work, behind the signal, is left alone', async t => {
  const {run, savers} = await start(t.context, ['--signal-all', '--stop-timeout', '60'], ['outer'], words => `sh -c 'trap "sh -c \\"trap : TERM; echo copying; ${words('copy')}\\"; exit" TERM; ${words('outer')} & wait' & wait`);
  process.kill(run.pid, 'SIGTERM');
  const copy = await savers.ready(run, 'copy');
  await eventually('the command to end', () => run.output().includes('copying'));
  await fence(run, {copy});
  t.deepEqual(copy.signals(), []);
  process.kill(copy.pid, 'SIGHUP');
  savers.go();
  t.is((await run.result).code, 143);
  t.deepEqual(copy.signals(), ['SIGHUP', 'saved']);
});

test('without it, a signal reaches the command alone', async t => {
  const {run, all} = await start(t.context, ['-v'], ['near'], words => `${words('near')} & wait`);
  await settled(run, () => signalEach('SIGWINCH', [run.pid]));
  await fence(run, all);
  t.deepEqual(all.near!.signals(), []);
  process.kill(run.pid, 'SIGKILL');
  process.kill(all.near!.pid, 'SIGKILL');
  await run.result;
});

test.serial('a key of the terminal arrives once at each of the tree, in the foreground group and outside', async t => {
  const savers = saversOf(t.context);
  const terminal = await startTerminal(t.context.environment);
  terminal.type(`${binary} --signal-all --stop-timeout 60 -- sh -c '${savers.words('near')} & setsid ${savers.words('far')} & wait'\n`);
  const has = (line: string): number => terminal.output().split('\n').filter(each => each.trim() === line).length;
  await eventually('both to be ready', () => /near ready \d/.test(terminal.output()) && /far ready \d/.test(terminal.output()));
  terminal.press('C');
  await eventually('both to hear of it', () => has('near SIGINT') > 0 && has('far SIGINT') > 0);
  savers.go();
  await terminal.expect(/saved[^]*saved[^]*prompt> /);
  t.deepEqual([has('near SIGINT'), has('far SIGINT')], [1, 1]);
  await terminal.end();
});
