/** The frame's keeper stands outside of our tree, starts the daemon, and takes over when jobbus-run is killed. */

import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {ended, frameTest, lineReader, makePipe, readShown, recordOf, SETTINGS, smallFrameTest, startPart, type Frame} from './helpers/frame.js';
import {useBench, type Bench} from './helpers/jobbus.js';
import {allPids, descriptorsOf, environmentOf, eventually, isRunning, viewProcess, type ProcessView} from './helpers/processes.js';

useBench();

interface Keeper {
  readonly pid: number;
  readonly directory: string;
  readonly log: string;
  readonly say: (text: string) => void;
  /** Waits for a whole line of its report. */
  readonly told: (line: RegExp) => Promise<RegExpExecArray>;
  readonly address: (pattern: RegExp) => Promise<RegExpExecArray>;
  /** As the death of jobbus-run does. */
  readonly letGo: () => void;
  readonly startDaemon: () => Promise<number>;
  readonly stopReading: () => void;
  readonly end: () => Promise<void>;
}

interface KeeperOptions {
  readonly settings?: string;
  readonly prefix?: readonly string[];
  /** At descriptor 6. */
  readonly lock?: string;
  /** At descriptor 7, and read to its end. */
  readonly secret?: string;
}

async function startKeeper(bench: Bench, frame: Frame, daemon: readonly string[], {settings = SETTINGS, prefix, lock, secret}: KeeperOptions = {}): Promise<Keeper> {
  const control = makePipe(bench, 'write');
  const report = makePipe(bench, 'read');
  const address = makePipe(bench, 'read');
  const directory = join(bench.base, 'directory');
  const log = join(bench.base, 'log');
  mkdirSync(directory, {recursive: true});
  if (prefix !== undefined) {
    symlinkSync('jobbus-run', join(frame.program, '../jobbus-keeper'));
  }

  const descriptors = ['ignore', 'ignore', 'ignore', control.read, report.write, address.write, lock === undefined ? 'ignore' : openSync(lock, 'r'), openSync(secret ?? '/etc', 'r'), openSync('/etc', 'r')] as const;
  // The first entry is the keeper's own; of these it is none that the bench looks for.
  const {JOBBUS_TEST_MARK: mark = '', ...environment} = bench.environment;
  const marked = {...bench, environment: {JOBBUS_HELPER: 'keeper', ...environment, JOBBUS_TEST_MARK: mark}};
  const words = ['jobbus-keeper', settings, directory, log, ...daemon];
  const child = startPart(marked, frame, words, descriptors, prefix === undefined ? {} : {prefix});
  const told = lineReader(report.read);
  const [, pid] = await told(/keeper (\d+)\n/);
  const keeper: Keeper = {
    pid: Number(pid), directory, log, told,
    address: lineReader(address.read),
    say: text => void writeSync(control.write, text),
    letGo: () => closeSync(control.write),
    async startDaemon() {
      keeper.say('start\n');
      return Number((await told(/daemon (\d+)\n/))[1]);
    },
    stopReading: () => closeSync(report.read),
    async end() {
      keeper.say('end\n');
      await gone(keeper.pid);
    },
  };
  if (prefix === undefined) {
    const {code} = await ended(child);
    if (code !== 0) {
      throw new Error(`the parent ended with ${code}`);
    }
  }

  return keeper;
}

async function gone(pid: number): Promise<void> {
  await eventually(`${pid} to go`, () => !isRunning(pid));
}

/** Zombies, too. */
function allChildrenOf(parent: number): ProcessView[] {
  return allPids().map(viewProcess).filter(view => view?.parent === parent) as ProcessView[];
}

const WAITS = ['/bin/sh', '-c', 'echo up >&5; exec tail -f /dev/null'];

frameTest('the keeper leaves the tree, and keeps nothing of the caller\'s', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS);
  const view = viewProcess(keeper.pid)!;
  t.not(view.parent, process.pid);
  t.is(view.session, keeper.pid);
  t.is(view.words[0], 'jobbus-keeper');
  const descriptors = descriptorsOf(keeper.pid);
  t.deepEqual([0, 1, 2].map(number => descriptors.get(number)), ['/dev/null', '/dev/null', '/dev/null']);
  t.false([...descriptors.values()].includes('/etc'));
  t.is(execFileSync('readlink', [`/proc/${keeper.pid}/cwd`], {encoding: 'utf8'}), '/\n');
  t.is(environmentOf(keeper.pid)[0], 'JOBBUS_HELPER=keeper');
  await keeper.end();
});

smallFrameTest('the keeper of an old kernel closes what is the caller\'s, too', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS, {prefix: ['/usr/bin/strace', '-f', '-o', '/dev/null', '-e', 'inject=close_range:error=ENOSYS']});
  t.false([...descriptorsOf(keeper.pid).values()].includes('/etc'));
  await keeper.end();
});

frameTest('the daemon has its address, its log, the lock and the caller\'s settings, and nothing else', async (t, frame) => {
  const settings = '4000000000004000:8000000380811003:777:-:-:1000000:0';
  const script = 'grep -E "^Sig(Blk|Ign)" /proc/self/status; ulimit -Sn; echo "$JOBBUS_HELPER"; pwd; echo up >&5; echo later >&2; exec sleep infinity';
  const lock = join(t.context.base, 'lock');
  writeFileSync(lock, '');
  const keeper = await startKeeper(t.context, frame, ['/bin/bash', '-c', script], {settings, lock});
  writeFileSync(keeper.log, 'before\n');
  const daemon = await keeper.startDaemon();
  await keeper.address(/up\n/);
  const lines = await eventually('the log', () => {
    const text = readFileSync(keeper.log, 'utf8');
    return text.endsWith('later\n') && text.split('\n');
  });
  t.deepEqual(lines.map(line => line.replace('\t', ' ')), ['before', 'SigBlk: 4000000000004000', 'SigIgn: 8000000380811003', '777', '', '/', 'later', '']);
  await eventually('the last program', () => viewProcess(daemon)?.words[0] === 'sleep');
  const descriptors = descriptorsOf(daemon);
  const reserved = [...descriptors].filter(([number]) => number < 7);
  t.deepEqual(reserved.map(([number]) => number), [0, 1, 2, 5, 6]);
  t.is(descriptors.get(0), '/dev/null');
  t.is(descriptors.get(1), keeper.log);
  t.is(descriptors.get(2), keeper.log);
  t.is(descriptors.get(6), lock);
  t.is(viewProcess(daemon)?.parent, keeper.pid);
  process.kill(daemon, 'SIGKILL');
  t.is((await keeper.told(/died (\d+)\n/))[1], '9');
  await keeper.end();
});

frameTest('a keyring gets the secret, the daemon\'s environment with what is its own, and no lock', async (t, frame) => {
  const [lock, secret] = [join(t.context.base, 'lock'), join(t.context.base, 'secret')];
  [lock, secret].forEach(path => writeFileSync(path, 'sesame\n'));
  const own = join(t.context.base, 'own-log');
  const script = 'echo "$0 $ONE $TWO $PATH"; cat; exec sleep infinity';
  const words = ['/bin/sh', '-c', 'echo "up $#" >&5; exec tail -f /dev/null', 'sh', '', own, 'ONE=1', 'TWO=2', '/bin/sh', '-c', script, 'the'];
  const keeper = await startKeeper(t.context, frame, words, {lock, secret});
  const daemon = await keeper.startDaemon();
  await keeper.address(/up 0\n/);
  t.false([...descriptorsOf(daemon).values()].includes(secret));
  keeper.say('keyring\nkeyring\n');
  const keyring = Number((await keeper.told(/^keyring (\d+)\n/))[1]);
  await keeper.told(/^failed word 22\n/);
  await eventually('its last program', () => viewProcess(keyring)?.words[0] === 'sleep');
  t.is(readFileSync(keeper.log, 'utf8'), '');
  t.is(readFileSync(own, 'utf8'), `the 1 2 ${t.context.environment.PATH}\nsesame\n`);
  t.deepEqual([...descriptorsOf(keyring)].filter(([number]) => number < 8), [[0, secret], [1, own], [2, own]]);
  t.false([...descriptorsOf(keeper.pid).values()].includes(secret));
  t.is(viewProcess(keyring)?.parent, keeper.pid);
  process.kill(keyring, 'SIGKILL');
  t.is((await keeper.told(/gone (\d+)\n/))[1], '9');
  process.kill(daemon, 'SIGKILL');
  await keeper.told(/died 9\n/);
  await keeper.end();
});

frameTest('a keyring that cannot be started ends, and says why; where none was named, there is none', async (t, frame) => {
  const own = join(t.context.base, 'own-log');
  const keeper = await startKeeper(t.context, frame, [...WAITS, '', own, '/none'], {secret: '/dev/null'});
  keeper.say('keyring\n');
  await keeper.told(/^keyring \d+\n/);
  t.is((await keeper.told(/^gone (\d+)\n/))[1], String(125 << 8));
  t.is(readFileSync(own, 'utf8'), 'No such file or directory\n');
  await keeper.end();
  const other = await startKeeper(t.context, frame, WAITS);
  other.say('keyring\n');
  await other.told(/^failed word 22\n/);
  await other.end();
});

frameTest('the daemon\'s end is told as waitpid has it, and what it leaves is reaped', async (t, frame) => {
  const go = join(t.context.base, 'go');
  const orphan = `sh -c 'while ! [ -e ${go} ]; do sleep 0.01; done' &`;
  const keeper = await startKeeper(t.context, frame, ['/bin/sh', '-c', `${orphan} exit 3`]);
  await keeper.startDaemon();
  t.is((await keeper.told(/died (\d+)\n/))[1], String(3 << 8));
  t.is(allChildrenOf(keeper.pid).length, 1);
  writeFileSync(go, '');
  await eventually('the orphan to be reaped', () => allChildrenOf(keeper.pid).length === 0);
  await keeper.end();
});

frameTest('a keeper that was told to end waits for its daemon, and tells its end', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS);
  const daemon = await keeper.startDaemon();
  keeper.say('end\n');
  keeper.letGo();
  await eventually('it to wait for its daemon', () => readFileSync(`/proc/${keeper.pid}/wchan`, 'utf8') === 'do_wait');
  process.kill(daemon, 'SIGKILL');
  t.is((await keeper.told(/died (\d+)\n/))[1], '9');
  await gone(keeper.pid);
});

frameTest('a daemon that cannot be started is told with its step and errno', async (t, frame) => {
  const missing = await startKeeper(t.context, frame, ['/none']);
  missing.say('start\n');
  t.is((await missing.told(/failed (.*)\n/))[1], 'exec 2');
  await eventually('it to be reaped', () => allChildrenOf(missing.pid).length === 0);
  await missing.end();
  rmSync(missing.log);
  symlinkSync('/dev/null', missing.log);
  const linked = await startKeeper(t.context, frame, WAITS);
  linked.say('start\n');
  t.is((await linked.told(/failed (.*)\n/))[1], 'log 40');
  await linked.end();
});

frameTest('words may come in pieces, two at once, unknown and too long', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS);
  keeper.say(`${'x'.repeat(5000)}\nstop\nwatch 0 1\nwatch 1\nst`);
  for (let count = 0; count < 4; count++) {
    t.is((await keeper.told(/^(.*)\n/))[1], 'failed word 22');
  }

  keeper.say('art\nstart\n');
  const [, daemon] = await keeper.told(/daemon (\d+)\n/);
  await keeper.address(/up\n/);
  keeper.say(`watch ${process.pid} 1`);
  process.kill(Number(daemon), 'SIGTERM');
  await keeper.told(/died 15\n/);
  keeper.say('2\nend\n');
  await keeper.told(/watching\n/);
  await gone(keeper.pid);
});

for (const state of ['before the daemon', 'beside the daemon', 'behind the daemon']) {
  frameTest(`the keeper of a killed jobbus-run becomes the sweep: ${state}`, async (t, frame) => {
    const lock = join(t.context.base, 'lock');
    writeFileSync(lock, '');
    const keeper = await startKeeper(t.context, frame, WAITS, {lock});
    const daemon = state === 'before the daemon' ? 0 : await keeper.startDaemon();
    if (state === 'behind the daemon') {
      process.kill(daemon, 'SIGKILL');
      await keeper.told(/died 9\n/);
    }

    keeper.letGo();
    const shown = await readShown(frame);
    const record = recordOf(shown);
    const child = state === 'beside the daemon' ? daemon : 0;
    t.is(record.role, `keeper.${child}`);
    t.is(record.pid, keeper.pid);
    t.deepEqual([record.directory, record.closed, record.memory, record.descriptors], ['-', '-', '-', '-']);
    t.is(record.settings, SETTINGS);
    t.deepEqual(shown.words, ['jobbus-run', '--sweep', keeper.directory]);
    t.is(shown.entries[0], ':JOBBUS_HELPER=keeper');
    t.true(shown.entries.includes(`:${t.context.mark}`));
    t.deepEqual(shown.children, child === 0 ? [] : [child]);
    t.deepEqual([...shown.descriptors].map(([number, target]) => `${number} ${target}`), ['0 /dev/null', '1 /dev/null', '2 /dev/null']);
    await gone(keeper.pid);
  });
}

frameTest('the sweep is the program that was there at the start, be it moved and removed', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS);
  await keeper.startDaemon();
  rmSync(frame.supervisor);
  rmSync(frame.program);
  keeper.letGo();
  t.deepEqual((await readShown(frame)).words.slice(0, 2), ['jobbus-run', '--sweep']);
  await gone(keeper.pid);
});

frameTest('where no sweep can be started, the keeper ends daemon and orphans itself, and leaves the directory', async (t, frame) => {
  const script = `(trap "" TERM; echo "$(exec sh -c 'echo $PPID')" >&5; while :; do sleep 1; done) &
    sh -c 'kill -STOP $$' &
    echo up >&5; wait`;
  const keeper = await startKeeper(t.context, frame, ['/bin/sh', '-c', script]);
  const daemon = await keeper.startDaemon();
  await keeper.address(/up\n/);
  await eventually('the stopped one', () => allChildrenOf(daemon).some(({state}) => state === 'T'));
  const others = allChildrenOf(daemon).map(({pid}) => pid);
  chmodSync(frame.supervisor, 0);
  keeper.letGo();
  await gone(keeper.pid);
  t.deepEqual([daemon, ...others].filter(isRunning), []);
  t.is(execFileSync('ls', ['-d', keeper.directory], {encoding: 'utf8'}).trim(), keeper.directory);
});

/** A process to watch, and when it started. */
function startWatched(bench: Bench): {readonly child: ChildProcess; readonly words: string} {
  const child = spawn('tail', ['-f', '/dev/null'], {env: bench.environment, stdio: 'ignore'});
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
  return {child, words: `${child.pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!}`};
}

/** @param test of the keeper with pidfd, and of one without */
function watchTest(title: string, body: (t: Parameters<Parameters<typeof frameTest>[1]>[0], frame: Frame, options: KeeperOptions) => Promise<void>): void {
  frameTest(`${title}, by pidfd`, async (t, frame) => body(t, frame, {}));
  smallFrameTest(`${title}, without pidfd`, async (t, frame) => body(t, frame, {prefix: ['/usr/bin/strace', '-f', '-o', '/dev/null', '-e', 'inject=pidfd_open:error=ENOSYS']}));
}

watchTest('a process is watched instead of jobbus-run, and its end is the session\'s', async (t, frame, options) => {
  const {child, words} = startWatched(t.context);
  const keeper = await startKeeper(t.context, frame, WAITS, options);
  const daemon = await keeper.startDaemon();
  keeper.say(`watch ${words}\n`);
  await keeper.told(/watching\n/);
  keeper.letGo();
  // That it hears more than one look of the clock proves that the end of its control means nothing.
  process.kill(daemon, 'SIGKILL');
  await keeper.told(/died 9\n/);
  t.true(isRunning(keeper.pid));
  child.kill('SIGKILL');
  t.is(recordOf(await readShown(frame)).role, 'keeper.0');
  await gone(keeper.pid);
});

watchTest('a watched process is another when it has started at another time', async (t, frame, options) => {
  const {child, words} = startWatched(t.context);
  const keeper = await startKeeper(t.context, frame, WAITS, options);
  keeper.say(`watch ${words}0\n`);
  await keeper.told(/watching\n/);
  t.is(recordOf(await readShown(frame)).role, 'keeper.0');
  await gone(keeper.pid);
  child.kill('SIGKILL');
  await ended(child);
});

watchTest('a watched process that is a zombie is gone', async (t, frame, options) => {
  const parent = spawn('python3', ['-c', 'import os, signal\nprint(os.fork() or os._exit(0), flush=True)\nsignal.pause()'], {env: t.context.environment, stdio: ['ignore', 'pipe', 'ignore']});
  let text = '';
  parent.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const pid = await eventually('a zombie', () => viewProcess(Number.parseInt(text))?.state === 'Z' && Number.parseInt(text));
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const keeper = await startKeeper(t.context, frame, WAITS, options);
  keeper.say(`watch ${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!}\n`);
  t.is(recordOf(await readShown(frame)).pid, keeper.pid);
  await gone(keeper.pid);
  parent.kill('SIGKILL');
  await ended(parent);
});

frameTest('a jobbus-run that has stopped with its command goes on when that does, and not before', async (t, frame) => {
  const [sleeper, command] = [startWatched(t.context).child, startWatched(t.context).child];
  const state = (child: ChildProcess): string | undefined => viewProcess(child.pid!)?.state;
  const stop = async (child: ChildProcess): Promise<void> => {
    child.kill('SIGSTOP');
    await eventually('the stop', () => state(child) === 'T');
  };
  const keeper = await startKeeper(t.context, frame, WAITS);
  await Promise.all([stop(sleeper), stop(command)]);
  keeper.say(`asleep ${sleeper.pid} ${command.pid}\n`);
  // Behind a look at both.
  const looks = (): number => Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(readFileSync(`/proc/${keeper.pid}/status`, 'latin1'))![1]);
  const before = looks();
  await eventually('two looks', () => looks() > before + 2);
  t.is(state(sleeper), 'T');
  command.kill('SIGCONT');
  await eventually('the end of the sleep', () => state(sleeper) !== 'T');
  keeper.say('awake\nasleep 1\nasleep 0 1\n');
  await keeper.told(/failed word 22\nfailed word 22\n/);
  [sleeper, command].forEach(child => child.kill('SIGKILL'));
  await Promise.all([ended(sleeper), ended(command)]);
  await keeper.end();
});

smallFrameTest('a daemon whose execve hangs does not hold the keeper', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS, {prefix: ['/usr/bin/strace', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=execve', '-e', 'inject=execve:delay_enter=3600000000']});
  keeper.say('start\nanswer\n');
  t.regex((await keeper.told(/^(.*)\n/))[1]!, /^daemon \d+$/);
  t.is((await keeper.told(/^(.*)\n/))[1], 'failed word 22');
  const hanging = (pid: number): boolean => viewProcess(pid)?.state === 't' && /^SigBlk:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  const child = await eventually('the daemon to be at its execve', () => allChildrenOf(keeper.pid).find(({pid}) => hanging(pid)));
  t.regex(child.words[0]!, /jobbus-keeper$/, 'it has not become the daemon');
  // strace tells nobody of a death before its delay is over.
  const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]);
  [child.pid, tracer].forEach(pid => process.kill(pid, 'SIGKILL'));
  t.is((await keeper.told(/died (\d+)\n/))[1], '9');
  await keeper.end();
});

frameTest('a report that nobody reads, closed or full, does not hold the keeper', async (t, frame) => {
  const keeper = await startKeeper(t.context, frame, WAITS);
  // Each is answered by a line, and a pipe has room for 64 kB.
  for (let count = 0; count < 1000; count++) {
    keeper.say('no such word\n'.repeat(10));
  }

  const daemon = (keeper.say('start\n'), await eventually('the daemon', () => allChildrenOf(keeper.pid)[0]?.pid));
  await keeper.address(/up\n/);
  keeper.stopReading();
  process.kill(daemon, 'SIGKILL');
  await eventually('it to be reaped', () => allChildrenOf(keeper.pid).length === 0);
  t.true(isRunning(keeper.pid));
  await keeper.end();
});
