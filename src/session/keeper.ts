/**
 * Keeper and daemon: started, handed over, stopped and let go. Both live outside of our process tree, in which a signal to all of it
 * (Slurm's proctrack/linuxproc) would find the daemon while the command still saves.
 *
 * The keeper is the daemon's parent and the sub-reaper of its services. It cleans up should we be killed, which it sees as the end
 * of a pipe without a last word.
 */

import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {busSocket, CONFIGURATION_NAME, type BusPlan} from './bus-plan.js';
import type {KeyringPlan} from './keyring-plan.js';
import {failed, quote, success, systemReason, type Failure, type Result} from '../cli/failure.js';
import {encode} from '../system/bytes.js';
import {statusOf, type Process} from '../system/processes.js';
import type {Caller} from '../system/caller.js';
import {systemError} from '../system/errno.js';
import {close, write} from '../system/descriptors.js';
import {readLines, type Line, type Lines} from '../system/lines.js';
import {within} from '../system/loop.js';
import {startPart} from './frame.js';
import {closePipes, openPipes} from '../system/pipes.js';
import type {Lock} from './lock.js';
import {connectProblem} from './place/sockets.js';

export interface Keeper {
  readonly plan: BusPlan;
  /** The pid of who has started it, and is our child. */
  readonly starter: number;
  readonly control: number;
  readonly reports: Reports;
  readonly address: Lines;
}

/** What the keeper says: a word a line, each at most once, with a number. */
interface Reports {
  /** The number behind the word; undefined once it is known that the word will not come. */
  readonly said: Readonly<Record<Word, Promise<number | undefined>>>;
  /** Which step has failed, and why. */
  readonly failure: () => {readonly step: string; readonly reason: string} | undefined;
  /** The keeper has closed its end: it is gone, or has become another. */
  readonly over: Promise<void>;
  /** The keeper, once it has told its pid. */
  readonly keeper: () => Process | undefined;
  close(): void;
}

const WORDS = ['keeper', 'daemon', 'died', 'watching', 'keyring', 'unstarted', 'gone'] as const;

type Word = (typeof WORDS)[number];

export interface Daemon {
  readonly process: Process | undefined;
  readonly died: Promise<void>;
  readonly keeper: Process;
}

/** Milliseconds; a node that starts hundreds of jobs at once needs some. */
const ADDRESS_TIMEOUT = 30_000;

/** Milliseconds between the end of the daemon's output and its own, where it is about to die. */
const EARLY_EXIT_TIME = 200;

const KEEPER_STOP_TIME = 500;
const DAEMON_LOG = 'dbus-daemon.log';

/** Of its own: the daemon may have something to say at any moment. */
export const KEYRING_LOG = 'keyring.log';

const LOG_LINES = 5;

/** The daemon and its services block and ignore no signal, whatever the caller does: they are ended by signals. */
const HEEDING_ALL = `${'0'.repeat(16)}:${'0'.repeat(16)}`;

/** The numbers that the frame's keeper knows. */
const CONTROL = 3;
const REPORT = 4;
const ADDRESS = 5;
const LOCK = 6;
const SECRET = 7;

/**
 * Starts the keeper, which waits for {@link startDaemon}.
 *
 * @param environment the daemon's; activated services inherit it
 * @param mark the keeper's own entry
 * @param keyring to be started besides, when it is told so; its password is erased here
 * @param lock for keeper and daemon to hold, where the session goes on without this process
 */
export function startKeeper(plan: BusPlan, environment: ReadonlyArray<string | Uint8Array>, mark: string, {settings}: Caller, keyring?: KeyringPlan, lock?: Lock): Result<Keeper> {
  const pipes = openPipes('keeper', ['writer', 'reader', 'reader', ...(keyring === undefined ? [] : ['writer' as const])]);
  if (!pipes.ok) {
    return pipes;
  }

  const [control, report, address, secret] = pipes.value;
  const words = [settings.replace(/^\w+:\w+/, HEEDING_ALL), plan.directory, `${plan.directory}/${DAEMON_LOG}`, plan.binary, ...plan.words, `--print-address=${ADDRESS}`];
  const descriptors = new Map([[CONTROL, control.reader], [REPORT, report.writer], [ADDRESS, address.writer]]);
  if (lock !== undefined) {
    descriptors.set(LOCK, lock.descriptor);
  }

  if (keyring !== undefined && secret !== undefined) {
    words.push('', `${plan.directory}/${KEYRING_LOG}`, ...keyring.words);
    descriptors.set(SECRET, secret.reader);
    write(secret.writer, keyring.password); // A pipe has room for it.
    keyring.password.fill(0); // This process may be there for long.
  }

  const started = startPart('keeper', words.map(encode), {environment: [mark, ...environment], descriptors});
  if (!started.ok) {
    closePipes(pipes.value);
    return started;
  }

  [control.reader, report.writer, address.writer, ...(secret === undefined ? [] : [secret.reader, secret.writer])].forEach(close);
  return success({plan, starter: started.value, control: control.writer, reports: hear(readLines(report.reader)), address: readLines(address.reader)});
}

/** They may come in any company: the daemon may die as the keeper is told to watch another. */
function hear(lines: Lines): Reports {
  const settle = new Map<string, (number: number | undefined) => void>();
  const said = Object.fromEntries(WORDS.map(word => [word, new Promise(resolve => settle.set(word, resolve))])) as Reports['said'];
  const giveUp = (): void => settle.forEach(resolve => resolve(undefined));
  let failure: ReturnType<Reports['failure']>;
  let keeper: Process | undefined;
  const fail = ([, step = '', number]: readonly string[]): void => {
    const reason = systemReason(systemError(Number(number)));
    failure = {step, reason: step.startsWith('/') ? `${step}: ${reason}` : reason};
    settle.get('died')!(NaN); // What was to become the daemon.
    giveUp();
  };
  const over = (async () => {
    for (let line = await lines.next(); line.kind === 'line'; line = await lines.next()) {
      const words = line.text.split(' ');
      if (words[0] === 'failed') {
        fail(words); // Nothing more comes.
      } else {
        keeper = words[0] === 'keeper' ? statusOf(Number(words[1])) : keeper;
        settle.get(words[0]!)?.(Number(words[1]));
      }
    }

    giveUp();
  })();
  return {said, failure: () => failure, over, keeper: () => keeper, close: lines.close};
}

/** Says a word of the frame's keeper. */
export function tell({control}: Keeper, word: string): void {
  write(control, Buffer.from(`${word}\n`));
}

/**
 * Stops as the command has stopped. Who is stopped does not see its child go on: somebody may continue the command alone, or after us, while we
 * stop again. Of that the keeper takes care. @returns once we go on
 */
export function sleepLike(keeper: Keeper, command: number, stop: () => void): void {
  tell(keeper, `asleep ${process.pid} ${command}`);
  stop();
  tell(keeper, 'awake');
}

/** Lets the daemon start in the directory, which must exist by now. @returns as soon as it has a pid: what the keeper has not told is not there */
export async function startDaemon(keeper: Keeper): Promise<Result<Daemon>> {
  const {plan, reports} = keeper;
  try {
    if (plan.configuration !== undefined) {
      writeFileSync(`${plan.directory}/${CONFIGURATION_NAME}`, plan.configuration);
    }
  } catch (error) {
    return failed({kind: 'record', path: plan.directory, reason: systemReason(error)});
  }

  tell(keeper, 'start');
  const keeperPid = await reports.said.keeper;
  const daemonPid = await reports.said.daemon;
  const {step, reason} = reports.failure() ?? {step: undefined, reason: 'it has ended'};
  if (keeperPid === undefined) {
    return failed({kind: 'helper', helper: 'keeper', reason});
  }

  if (daemonPid === undefined && step !== undefined) {
    return failed({kind: 'helper', helper: plan.binary, reason});
  }

  // Where the keeper itself has been killed, nobody tells us.
  const died = new Promise<void>(resolve => void reports.said.died.then(status => status !== undefined && resolve()));
  return success({process: daemonPid === undefined ? undefined : statusOf(daemonPid), died, keeper: reports.keeper() ?? {pid: keeperPid, startTime: ''}});
}

/** Waits until the daemon has reported its address. @returns what failed if it does not serve */
export async function daemonFailure(keeper: Keeper, {died}: Daemon): Promise<Failure | undefined> {
  const {plan, address} = keeper;
  const line = await address.next(ADDRESS_TIMEOUT);
  const problem = line.kind === 'end' ? await endProblem(keeper, died) : (addressProblem(line, plan) ?? unreachable(plan));
  address.close();
  return problem === undefined ? undefined : {kind: 'daemon', binary: plan.binary, asked: plan.asked, problem, log: lastLogLines(plan, DAEMON_LOG)};
}

/** The daemon adds its guid to the address that it was given. */
function addressProblem(line: Line, {address}: BusPlan): string | undefined {
  if (line.kind !== 'line') {
    return `it did not report its address within ${ADDRESS_TIMEOUT / 1000} s`;
  }

  return line.text === address || line.text.startsWith(`${address},`) ? undefined : `it reported ${quote(line.text.slice(0, 80))}, which is not the address it was given`;
}

async function endProblem({reports}: Keeper, died: Promise<void>): Promise<string> {
  const hasEnded = await within(EARLY_EXIT_TIME, died);
  return reports.failure()?.reason ?? (hasEnded ? 'it ended before it reported its address' : 'it closed its output without reporting its address');
}

function unreachable({directory, address}: BusPlan): string | undefined {
  const reason = connectProblem(busSocket(directory, address));
  return reason && `its socket cannot be connected to: ${reason}`;
}

export function lastLogLines({directory}: BusPlan, name: string): string[] {
  const log = `${directory}/${name}`;
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).slice(-LOG_LINES) : [];
}

/** Has the keeper watch another process in the place of this one: when that has ended, it cleans up. @returns false when the keeper is gone */
export async function handOver(keeper: Keeper, owner: Process): Promise<boolean> {
  tell(keeper, `watch ${owner.pid} ${owner.startTime}`);
  const {watching} = keeper.reports.said;
  return (await within(ADDRESS_TIMEOUT, watching)) && (await watching) !== undefined;
}

/** The last word: the keeper has nothing to clean up, and ends with its daemon. */
export function dismissKeeper(keeper: Keeper): void {
  tell(keeper, 'end');
  close(keeper.control);
}

/** Waits until a keeper that was dismissed is gone, for a bounded time. */
export async function keeperEnd(keeper: Keeper): Promise<void> {
  await within(KEEPER_STOP_TIME, keeper.reports.over);
  keeper.reports.close();
}
