/**
 * `--sweep --uid USER`, for root in an Epilog: the sweep in the name of a user whose job has ended.
 *
 * Root itself touches no path that a user can shape: a child does, as the user, with nothing but a PATH in its environment, in the fixed
 * places and in the one that root names. And whatever that child runs into, a stuck mount or ten million files, the Epilog goes on in time: Slurm
 * drains a node whose Epilog fails.
 */

import {closeSync, openSync} from 'node:fs';
import {sweptBases} from '../session/place/candidates.js';
import {parentName} from '../session/place/directory.js';
import {findExecutable} from '../system/executable.js';
import {systemReason, wording} from '../cli/failure.js';
import {print, warn} from '../cli/log.js';
import {BECOME, type SweepOptions} from '../cli/options.js';
import {FRAME, keepForUs} from '../session/frame.js';
import {waitUntil} from '../session/members/members.js';
import {childrenOf} from '../system/processes.js';
import {openPipes} from '../system/pipes.js';
import {runProgram} from '../system/program.js';
import type {Caller} from '../system/caller.js';
import {onEnd, setSubreaper, type End} from '../system/children.js';
import {close} from '../system/descriptors.js';
import {systemError} from '../system/errno.js';
import {within} from '../system/loop.js';
import {send, signalName, SIGNALS} from '../system/signals.js';
import {becomeUser, spawn} from '../system/spawn.js';
import {relayLines} from './relay.js';
import {sweepAsAsked} from './sweep.js';

/** Milliseconds. */
const CHILD_TIME = 10_000;
/** Longer: one that hangs is ended with the child, and not taken for an answer. */
const LOOK_UP_TIME = 2 * CHILD_TIME;
const KILL_TIME = 500;

/** Where runs put sessions whatever their environment says, and where root says that they do. */
function basesOf({runtimeBase}: SweepOptions): readonly string[] {
  return sweptBases({}, runtimeBase);
}

const PATH = '/usr/bin:/bin';
const UNKNOWN_USER = 125;
/** The next one is nobody's number to setuid(2); of higher ones, getent and the kernel would take 32 bits, which may be root's number. */
const HIGHEST_USER = 4_294_967_294;
/** Status of getent(1). */
const NOT_FOUND = 2;

/** @returns the exit status */
export async function sweepAsUser(options: SweepOptions, asked: string, caller: Caller): Promise<number> {
  keepForUs(caller);
  const user = await numberOf(asked);
  if (user === undefined) {
    // Of a directory of users that is out of reach for a while, no Epilog is to fail.
    return fail(asked, "getent did not tell that user's number; give the number");
  }

  if (!(user <= HIGHEST_USER)) {
    return fail(asked, `there is no such user on this node; check the ${Number.isNaN(user) ? 'name' : 'number'}`, UNKNOWN_USER);
  }

  const ourselves = process.getuid!();
  if (ourselves === user) {
    return sweepAsAsked(options, basesOf(options), caller);
  }

  if (ourselves !== 0) {
    return fail(asked, 'only root may; run jobbus-run --sweep as that user', 125);
  }

  return options.becomes ? becomeAndSweep(user, options) : waitForChild(user, options);
}

/** @returns the user's number; NaN where there is no such user; undefined where that cannot be told */
async function numberOf(user: string): Promise<number | undefined> {
  const entry = /^\+?\d+$/.test(user) ? ['', '', user] : await entryOf(user, CHILD_TIME);
  return entry && Number(entry[2]);
}

/** Says it. @returns the exit status */
function fail(user: string | number, problem: string, status = 0): number {
  warn(`sweeping as user ${user} failed: ${problem}`);
  return status;
}

async function becomeAndSweep(user: number, options: SweepOptions): Promise<number> {
  const [name, , , group] = (await entryOf(String(user), LOOK_UP_TIME)) ?? [];
  if (name === undefined || group === undefined) {
    return fail(user, 'there is no such user on this node; check the number', UNKNOWN_USER);
  }

  const became = becomeUser(user, Number(group), name);
  if (became < 0) {
    return fail(user, `becoming that user: ${systemReason(systemError(-became))}; see whether root may do so here`, 1);
  }

  if (process.getuid!() !== user) {
    return fail(user, `becoming that user: this process is still user ${process.getuid!()}; see whether root may do so here`, 1);
  }

  // A process that has changed its user belongs to root in /proc, and before Linux 5.14 cannot look into its own fdinfo; who is
  // started by it can. That one is told no user: whoever it is, it becomes nobody else, and starts no other.
  const pid = startSweep(options, [], new Map());
  if (pid < 0) {
    return fail(user, `${systemReason(systemError(-pid))}; see what this user may start (ulimit -u)`, 1);
  }

  // Whatever the user makes of it, it is not that there is no such user.
  const end = await endOf(pid);
  return end.kind === 'exited' && end.status === 0 ? 0 : 1;
}

/** @returns the fields of passwd(5); none where there is no such user; undefined where there is no answer */
async function entryOf(user: string, time: number): Promise<readonly string[] | undefined> {
  const path = findExecutable('getent', PATH);
  const ran = path.ok ? await runProgram({path: path.value, words: ['passwd', user], environment: [`PATH=${PATH}`], time}) : undefined;
  if (ran?.ok !== true || ![0, NOT_FOUND].includes(ran.value.status ?? -1)) {
    return undefined;
  }

  return ran.value.status === 0 ? ran.value.output.toString().split(':') : [];
}

/** @returns its pid, or a negative number of errno(3) */
function startSweep({runtimeBase}: SweepOptions, more: readonly string[], descriptors: ReadonlyMap<number, number>): number {
  const words = ['jobbus-run', '--sweep', ...(runtimeBase === undefined ? [] : ['--runtime-base', runtimeBase]), ...more];
  return spawn({path: FRAME, words, environment: [`PATH=${PATH}`], isForeign: true, descriptors});
}

/**
 * The child writes to us and not to our stdout and stderr: one that cannot be killed must not hold what the Epilog's caller reads, and what
 * the user has made of it must not be read there.
 *
 * @returns 0 also where something could not be removed: a user must not be able to fail an Epilog
 */
async function waitForChild(user: number, options: SweepOptions): Promise<number> {
  const pipes = openPipes('the sweep', ['reader', 'reader']);
  if (!pipes.ok) {
    warn(wording(pipes.failure)!);
    return 0;
  }

  setSubreaper(true);
  const [output, errors] = pipes.value;
  const nothing = openSync('/dev/null', 'r');
  const pid = startSweep(options, ['--uid', String(user), BECOME], new Map([[0, nothing], [1, output.writer], [2, errors.writer]]));
  closeSync(nothing);
  [output, errors].forEach(({writer}) => close(writer));
  if (pid < 0) {
    return fail(user, `${systemReason(systemError(-pid))}; see what this node may start`);
  }

  let end: End | undefined;
  const ended = endOf(pid).then(last => (end = last));
  const relays = [
    relayLines(output.reader, line => isOutcome(line, user, basesOf(options)), line => void print(`${line}\n`)),
    relayLines(errors.reader, line => line.startsWith(WARNING), line => warn(line.slice(WARNING.length))),
  ];
  const isDone = await within(CHILD_TIME, Promise.all([ended, ...relays.map(relay => relay.ended)]));
  if (relays.some(({isPartial}) => isPartial())) {
    warn(`sweeping as user ${user}: the rest of what was said is left out; see what jobbus-run --list shows that user`);
  }

  await killAll();
  if (!isDone) {
    fail(user, `it was not done within ${CHILD_TIME / 1000} s; see what jobbus-run --list shows that user`);
  } else if (end?.kind === 'killed') {
    fail(user, `${signalName(end.signal)} ended it`);
  }

  return end?.kind === 'exited' && end.status === UNKNOWN_USER ? UNKNOWN_USER : 0;
}

const WARNING = 'jobbus-run: ';

/** As sweep.ts words it. */
function isOutcome(line: string, user: number, bases: readonly string[]): boolean {
  const within = bases.map(base => `${base}/${parentName(user)}`).find(parent => line.startsWith(parent));
  return within !== undefined && /^(?:-[^/]+)?\/[\w~.-]+: dead \([a-z, ]+\); (?:removed$|not all could be removed: .)/.test(line.slice(within.length));
}

async function endOf(pid: number): Promise<End> {
  return new Promise(resolve => onEnd(pid, resolve));
}

/**
 * All that the child has started, in whatever group, and what the user has made of it: we are their sub-reaper. Our own children alone are signalled:
 * nobody else gets their pids before we have taken note of their end, and theirs are ours once they have ended. For one that cannot be killed nobody waits.
 */
async function killAll(): Promise<void> {
  await waitUntil(() => {
    const left = childrenOf(process.pid);
    left.forEach(pid => send(pid, SIGNALS.KILL));
    return left.length === 0;
  }, KILL_TIME);
}
