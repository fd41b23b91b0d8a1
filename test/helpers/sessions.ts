/** What a session has, and what is left of one. */

import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {isKeeper, isSentinel} from './ground.js';
import {sessionsIn, type Bench, type Run, type StartOptions} from './jobbus.js';
import {childrenOf, environmentOf, eventually, isRunning, processesWith, type ProcessView} from './processes.js';

/** Makes a service known to the bench's buses. @returns the environment that does */
export function withService(bench: Bench, name: string, words: string): Record<string, string> {
  const services = join(bench.base, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  writeFileSync(join(services, `${name}.service`), `[D-BUS Service]\nName=${name}\nExec=${words}\n`);
  return {XDG_DATA_DIRS: join(bench.base, 'share')};
}

/** The service that fixtures/leaves-all starts. */
export function withEchoService(bench: Bench): Record<string, string> {
  return withService(bench, 'org.example.Echo', '/usr/bin/dbus-test-tool echo --name=org.example.Echo');
}

export async function daemonOf(bench: Bench): Promise<ProcessView> {
  return eventually('a daemon', () => processesWith(bench.mark).find(({words}) => words[0]?.endsWith('dbus-daemon')));
}

/** As it waits; while it starts, a shell of its name becomes the daemon. */
export async function keeperOf(bench: Bench): Promise<ProcessView> {
  await daemonOf(bench);
  return eventually('one keeper', () => {
    const keepers = processesWith(bench.mark).filter(isKeeper);
    return keepers.length === 1 ? keepers[0] : undefined;
  });
}

/** The one in the process group of a jobbus-run. */
export function sentinelOf(pid: number): ProcessView | undefined {
  return childrenOf(pid).find(isSentinel);
}

export async function killed(run: Run): Promise<void> {
  process.kill(run.pid, 'SIGKILL');
  await run.result;
}

/** Milliseconds. Two seconds are promised; a busy machine may need many more of them. */
const BOUND = 60_000;

/** Milliseconds. Looking through /proc costs several, and many may wait at the same time. */
const INTERVAL = 50;

/** What one run of a bench can have in a variable, to tell its processes from all others. */
export function markOf({mark}: Bench, run: number | string): string {
  return `${mark.split('=')[1]!}-${run}`;
}

/** What is left of a run: processes with the entry in their environment, and sessions of its job in the base. */
export function leftOf(entry: string, base: string, job = ''): string[] {
  const directories = sessionsIn(base).filter(path => path.includes(`/${job}`));
  return [...processesWith(entry).map(({pid, words}) => `${pid} ${words.join(' ')}`), ...directories];
}

/** Waits until nothing is left; fails with what was left at the last look. */
export async function nothingLeft(entry: string, base: string, job = ''): Promise<void> {
  let left: string[] = [];
  const isOver = (): boolean => {
    left = leftOf(entry, base, job);
    return left.length === 0;
  };
  await eventually(() => `nothing to be left of ${entry}; there was ${left.join('; ')}`, isOver, BOUND, INTERVAL);
}

/**
 * Kills all that bears the entry in its environment. It is stopped first: who sees another die would begin to sweep. Who dies gives back its
 * environment first, and its locks a moment later.
 */
export async function killEverything(entry: string): Promise<void> {
  const doomed = new Set<number>();
  await eventually('everything to be stopped', () => {
    const found = processesWith(entry).filter(({pid}) => !doomed.has(pid));
    for (const {pid} of found) {
      signal(pid, 'SIGSTOP');
      doomed.add(pid);
    }

    return found.length === 0;
  }, BOUND, INTERVAL);
  doomed.forEach(kill);
  await eventually('everything to be killed', () => ![...doomed].some(isRunning), BOUND, INTERVAL);
}

export function kill(pid: number): void {
  signal(pid, 'SIGKILL');
}

function signal(pid: number, name: 'SIGKILL' | 'SIGSTOP'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

/** A session's record, as JSON has it. */
export interface RecordView {
  format: number;
  name: string;
  boot: string;
  host: string;
  owner: {pid: number; startTime: string};
  daemon: {pid: number; startTime: string};
  address: string;
  command: string;
  stopTimeout: number;
}

export function readRecord(directory: string): RecordView {
  return JSON.parse(readFileSync(join(directory, 'session.json'), 'utf8')) as RecordView;
}

export function editRecord(directory: string, change: Readonly<Record<string, unknown>>): void {
  writeFileSync(join(directory, 'session.json'), JSON.stringify({...readRecord(directory), ...change}));
}

/** Kills the keeper and then jobbus-run, while the command waits. @returns the directory that is left, with daemon and command */
export async function deadSession(bench: Bench, words: readonly string[] = ['sh', '-c', 'echo ready; exec tail -f /dev/null'], {options = [], ...rest}: StartOptions & {readonly options?: readonly string[]} = {}): Promise<string> {
  const before = new Set(bench.sessions());
  const entry = `JOBBUS_TEST_DEAD=${before.size}`;
  const run = bench.start([...options, '--', ...words], {...rest, environment: {...rest.environment, JOBBUS_TEST_DEAD: String(before.size)}});
  await run.line(/^ready$/);
  const [directory] = bench.sessions().filter(path => !before.has(path));
  await eventually('the keeper to be killed', () => {
    // Other tests make dead sessions too, with the same number.
    const keepers = processesWith(bench.mark).filter(view => isKeeper(view) && environmentOf(view.pid).includes(entry));
    keepers.forEach(({pid}) => kill(pid));
    return keepers.length === 0;
  });
  run.child.stdout?.destroy();
  run.child.stderr?.destroy();
  kill(run.pid);
  await run.result;
  return directory!;
}

/** Waits until the session is gone, under its own name and under that of a claim: a sweeper beside a run outlives it. */
export async function swept(bench: Bench, directory: string): Promise<void> {
  const isThere = (): boolean => bench.sessions().some(path => path.startsWith(directory));
  await eventually(() => `${directory} to be swept; there was ${bench.sessions().join(' ')}`, () => !isThere(), BOUND, INTERVAL);
}

/** Kills everything. @returns the directory that is left, and nothing else */
export async function emptySession(bench: Bench, options: StartOptions = {}): Promise<string> {
  const directory = await deadSession(bench, undefined, options);
  await killEverything(`XDG_RUNTIME_DIR=${directory}`);
  return directory;
}

/** Copies an empty session under another name, which is told by one or two letters. @returns its directory */
export function anotherLike(directory: string, letters: string): string {
  const name = basename(directory);
  const other = name.replace(/-.{4}/, `-${letters.repeat(4).slice(0, 4)}`);
  const copy = join(dirname(directory), other);
  mkdirSync(copy, {mode: 0o700});
  writeFileSync(join(copy, 'session.json'), JSON.stringify({...readRecord(directory), name: other, address: readRecord(directory).address.replace(name, other)}));
  return copy;
}

/** The lines about sessions of this bench: others may have died on this machine. */
export function linesOf({base}: Bench, output: string): string[] {
  return output.split('\n').filter(line => line.startsWith(`${base}/`));
}

/** What --sweep says of the sessions of this bench. */
export async function sweptLines(bench: Bench, options: StartOptions = {}): Promise<string[]> {
  return linesOf(bench, (await bench.run(['--sweep'], options)).stdout);
}

/** As --list has it. */
export async function stateOf(bench: Bench, directory: string): Promise<string | undefined> {
  const sessions = JSON.parse((await bench.run(['--list', '--json'])).stdout) as Array<{state: string; directory: string}>;
  return sessions.find(session => session.directory === directory)?.state;
}
