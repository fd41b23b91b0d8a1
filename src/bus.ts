/**
 * The session bus: the keeper, and the dbus-daemon beside it, both outside of our process tree (sh/keeper.sh).
 *
 * The daemon's death is seen as the end of a descriptor that it inherits: it is not our child, and must not be, or it
 * would die with us of every signal to our tree while the command still saves.
 */

import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import type {Socket} from 'node:net';
import {sessionVariables} from './environment.js';
import {findExecutable} from './executable.js';
import {failed, quote, success, systemReason, type Failure, type Result} from './failure.js';
import {startHelper} from './helper.js';
import {randomLetters} from './name.js';
import type {Caller} from './inherited.js';
import type {Lock} from './lock.js';
import {unalteredBySh} from './restoration.js';
import {signalProcess, statusOf, waitUntilGone, type Process} from './processes.js';
import {connectProblem} from './sockets.js';
import keeperScript from './sh/keeper.sh';

export interface BusOptions {
  readonly dbusDaemon: string | undefined;
  readonly configFile: string | undefined;
  readonly services: boolean;
}

/** What keeper and daemon need to know before there is a directory. */
export interface BusPlan {
  readonly binary: string;
  readonly directory: string;
  readonly address: string;
  /** Written into the directory for the daemon to read, where the daemon has none that serves. */
  readonly configuration: string | undefined;
  /** What tells the session's processes, where XDG_RUNTIME_DIR is ours too and where it is not. */
  readonly marks: readonly string[];
  readonly words: readonly string[];
}

export interface Keeper {
  readonly plan: BusPlan;
  readonly control: Socket;
  readonly addressOutput: Socket;
  readonly daemonLife: Socket;
}

export interface Daemon {
  readonly process: Process | undefined;
  readonly died: Promise<void>;
}

/** Milliseconds; a node that starts hundreds of jobs at once needs some. */
const ADDRESS_TIMEOUT = 30_000;

/** Milliseconds between the end of the daemon's output and its own, where it is about to die. */
const EARLY_EXIT_TIME = 200;

const DAEMON_STOP_TIME = 1000;
const KEEPER_STOP_TIME = 500;
const LOG_LINES = 5;
const LONGEST_ADDRESS_OUTPUT = 4096;

/**
 * Decides on binary, configuration and address.
 *
 * @param abstractName for a socket without a path
 * @param path the caller's PATH
 */
export function planBus(options: BusOptions, directory: string, abstractName: string | undefined, path: string | undefined): Result<BusPlan> {
  const binary = findDaemon(options.dbusDaemon, path);
  if (binary === undefined) {
    return failed({kind: 'no-daemon', asked: options.dbusDaemon});
  }

  // With letters of its own: the session's name can be seen by all, since it is locked.
  const address = abstractName === undefined ? pathAddress(directory) : `unix:abstract=jobbus-run-bus/${abstractName}-${randomLetters(16)}`;
  const own = options.configFile === undefined && (!options.services || !hasSessionConfiguration(binary));
  const configuration = own ? ownConfiguration(address, options.services) : undefined;
  const chosen = own ? `${directory}/${CONFIGURATION_NAME}` : options.configFile;
  return success({
    binary,
    directory,
    address,
    configuration,
    marks: daemonMarks(directory, address),
    words: [
      chosen === undefined ? '--session' : `--config-file=${chosen}`,
      '--nofork',
      '--nopidfile',
      `--address=${address}`,
      '--print-address=4',
    ],
  });
}

const CONFIGURATION_NAME = 'session.conf';
const LOG_NAME = 'dbus-daemon.log';

/** Conda's daemon, put first on PATH by an activated environment, must not shadow the system's: it has other services. */
function findDaemon(asked: string | undefined, path: string | undefined): string | undefined {
  for (const name of asked === undefined ? ['/usr/bin/dbus-daemon', 'dbus-daemon'] : [asked]) {
    const found = findExecutable(name, path);
    if (found.ok) {
      return found.value;
    }
  }

  return undefined;
}

/** A daemon under another prefix looks for its configuration there. */
export function hasSessionConfiguration(binary: string): boolean {
  const prefix = binary.replace(/\/[^/]*\/[^/]*$/, '');
  return existsSync(`${prefix}/share/dbus-1/session.conf`);
}

/** Without a <listen> the daemon refuses it, although --address overrides it. */
function ownConfiguration(address: string, services: boolean): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>${address}</listen>
  <keep_umask/>
  <auth>EXTERNAL</auth>
  ${services ? '<standard_session_servicedirs/>' : ''}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="service_start_timeout">120000</limit>
  <limit name="auth_timeout">240000</limit>
  <limit name="pending_fd_timeout">150000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_pending_service_starts">10000</limit>
  <limit name="max_names_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
`;
}

/** Where to connect to a bus: the socket in the session's directory, or the one without a path. */
export function busSocket(directory: string, address?: string): string {
  const abstractName = /^unix:abstract=(.*)/.exec(address ?? '')?.[1];
  return abstractName === undefined ? `${directory}/bus` : `\0${abstractName}`;
}

function pathAddress(directory: string): string {
  return `unix:path=${escapeAddress(busSocket(directory))}`;
}

/**
 * The `NAME=value` entries of an environment that tell a session's processes.
 *
 * @param address the bus's, where it is known
 */
export function daemonMarks(directory: string, address = pathAddress(directory)): readonly string[] {
  return Object.entries(sessionVariables(directory, address, false)).map(entry => entry.join('='));
}

/** Escapes as the D-Bus specification wants it, "Server Addresses", and no byte more than the daemon does when it reports its address. */
function escapeAddress(path: string): string {
  return Array.from(Buffer.from(path), byte => {
    const character = String.fromCharCode(byte);
    return /[-0-9A-Za-z_/.\\*]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

/**
 * Starts keeper and daemon; the daemon waits for {@link startDaemon}.
 *
 * @param environment the command's: activated services inherit it from the daemon
 * @param lock for both to hold, where the session goes on without this process
 */
export async function startKeeper(plan: BusPlan, environment: Readonly<Record<string, string>>, caller: Caller, lock?: Lock): Promise<Result<Keeper>> {
  const started = await startHelper({
    name: 'keeper',
    script: keeperScript,
    words: [
      plan.directory,
      `${plan.directory}/${LOG_NAME}`,
      process.execPath,
      caller.launcher,
      ...unalteredBySh(caller, environment),
      plan.binary,
      ...plan.words,
    ],
    environment,
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...(lock === undefined ? [] : [lock.descriptor])],
    shielded: caller.shielded,
  });
  if (!started.ok) {
    return started;
  }

  const [control, addressOutput, daemonLife] = started.value.stdio.slice(3) as [Socket, Socket, Socket];
  for (const socket of [control, addressOutput, daemonLife]) {
    socket.on('error', () => {}); // A peer that is gone is seen as the end of the stream.
  }

  control.resume();
  return success({plan, control, addressOutput, daemonLife});
}

/** Lets the daemon start in the directory, which must exist by now. @returns as soon as it has a pid */
export async function startDaemon(keeper: Keeper): Promise<Result<Daemon>> {
  const {plan} = keeper;
  try {
    if (plan.configuration !== undefined) {
      writeFileSync(`${plan.directory}/${CONFIGURATION_NAME}`, plan.configuration);
    }
  } catch (error) {
    return failed({kind: 'record', path: plan.directory, reason: systemReason(error)});
  }

  const pidLine = firstLine(keeper.daemonLife);
  const died = new Promise<void>(resolve => keeper.daemonLife.once('close', resolve));
  keeper.daemonLife.write('start\n');
  const line = await pidLine;
  return success({process: line.kind === 'line' ? statusOf(Number(line.text)) : undefined, died});
}

/** Waits until the daemon has reported its address. @returns what failed if it does not serve */
export async function daemonFailure(keeper: Keeper, daemon: Daemon): Promise<Failure | undefined> {
  const line = await firstLine(keeper.addressOutput, ADDRESS_TIMEOUT);
  const problem = (await addressProblem(line, keeper.plan, daemon.died)) ?? (await unreachable(keeper.plan));
  setImmediate(() => keeper.addressOutput.destroy()); // As in connectProblem.
  return problem === undefined ? undefined : {kind: 'daemon', binary: keeper.plan.binary, problem, log: lastLogLines(keeper.plan)};
}

async function addressProblem(line: FirstLine, plan: BusPlan, died: Promise<void>): Promise<string | undefined> {
  switch (line.kind) {
    case 'line':
      // The daemon adds its guid to the address that it was given.
      return line.text === plan.address || line.text.startsWith(`${plan.address},`)
        ? undefined
        : `it reported ${quote(line.text.slice(0, 80))}, which is not the address it was given`;
    case 'timeout':
      return `it did not report its address within ${ADDRESS_TIMEOUT / 1000} s`;
    case 'end':
      return (await isSettled(died, EARLY_EXIT_TIME))
        ? 'it ended before it reported its address'
        : 'it closed its output without reporting its address';
  }
}

/** Whether nobody can connect to a socket that has a path; one that has none cannot fail so, and Node 20 cannot name it. */
async function unreachable({directory, address}: BusPlan): Promise<string | undefined> {
  const path = busSocket(directory, address);
  const reason = path.startsWith('/') ? await connectProblem(path) : undefined;
  return reason && `its socket cannot be connected to: ${reason}`;
}

type FirstLine = {readonly kind: 'line'; readonly text: string} | {readonly kind: 'end' | 'timeout'};

async function firstLine(socket: Socket, timeout?: number): Promise<FirstLine> {
  return new Promise(resolve => {
    let text = '';
    const timer = timeout === undefined ? undefined : setTimeout(() => finish({kind: 'timeout'}), timeout);
    const finish = (line: FirstLine): void => {
      clearTimeout(timer);
      resolve(line);
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n') || text.length > LONGEST_ADDRESS_OUTPUT) {
        finish({kind: 'line', text: text.split('\n', 1)[0]!});
      }
    });
    if (socket.closed) {
      finish({kind: 'end'});
    } else {
      socket.once('close', () => finish({kind: 'end'}));
    }
  });
}

async function isSettled(promise: Promise<unknown>, time: number): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(false), time);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

function lastLogLines(plan: BusPlan): string[] {
  try {
    return readFileSync(`${plan.directory}/${LOG_NAME}`, 'utf8').trim().split('\n').filter(Boolean).slice(-LOG_LINES);
  } catch {
    return [];
  }
}

/**
 * Has the keeper watch another process in the place of this one: when that has ended, it cleans up.
 *
 * @returns the keeper's process; undefined when it is gone
 */
export async function handOver({control}: Keeper, owner: Process): Promise<Process | undefined> {
  const answer = firstLine(control, ADDRESS_TIMEOUT);
  control.write(`watch ${owner.pid} ${owner.startTime}\n`);
  const line = await answer;
  return line.kind === 'line' ? statusOf(Number(line.text)) : undefined;
}

/**
 * @param died as of {@link startDaemon}, where we have started it: quicker to tell than looking again and again
 * @returns false when the daemon survives KILL
 */
export async function stopDaemon(daemon: Process, died?: Promise<void>): Promise<boolean> {
  signalProcess(daemon, 'SIGTERM');
  signalProcess(daemon, 'SIGCONT'); // A stopped daemon acts on TERM only once it runs.
  if (died !== undefined) {
    await isSettled(died, DAEMON_STOP_TIME);
  }

  if (await waitUntilGone(daemon, DAEMON_STOP_TIME)) {
    return true;
  }

  signalProcess(daemon, 'SIGKILL');
  return waitUntilGone(daemon, DAEMON_STOP_TIME);
}

/**
 * The last word: the keeper has nothing to clean up, and a daemon that was never started never will be.
 *
 * @returns once both are gone, or after a bounded time
 */
export async function releaseKeeper({control, daemonLife}: Keeper): Promise<void> {
  const gone = Promise.all([control, daemonLife].map(async socket => socket.closed || new Promise(resolve => socket.once('close', resolve))));
  daemonLife.end();
  control.end('end\n');
  await isSettled(gone, KEEPER_STOP_TIME);
}
