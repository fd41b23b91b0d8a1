/** What the doctor tries: the daemon's program, and a whole session. */

import {connectionOwners} from '../session/bus/connections.js';
import {signalStatus, wording, type Result} from '../cli/failure.js';
import {explain, log} from '../cli/log.js';
import {askedFor, type DoctorOptions} from '../cli/options.js';
import {statusOf} from '../system/processes.js';
import {unlessInterrupted} from '../session/begin.js';
import {changedEntries, FRAME} from '../session/frame.js';
import {dieLike, type Incoming} from '../session/incoming.js';
import {endMembers, findMembers} from '../session/members/members.js';
import {runProgram, type Invocation, type Ran} from '../system/program.js';
import type {Caller} from '../system/caller.js';
import {exit} from '../system/spawn.js';

/** Milliseconds. */
const TRIAL_TIME = 60_000;
const ANSWER_TIME = 5000;
const ENDING_TIME = 1000;

/** Dies of a signal that comes meanwhile, once what was started has ended. */
export async function runInterruptibly(invocation: Omit<Invocation, 'time'>, incoming: Incoming): Promise<Result<Ran>> {
  incoming.takeBack();
  const ran = await unlessInterrupted(runProgram({...invocation, time: TRIAL_TIME}), incoming);
  if (!ran.ok) {
    const signal = incoming.interruption()!;
    await endMembers(() => findMembers({processes: [statusOf(process.pid)!], helpers: new Set(), spared: new Set(), job: undefined}), ENDING_TIME);
    dieLike(signal);
    exit(signalStatus(signal)); // PID 1 does not die of it.
  }

  incoming.letGo();
  return ran.value;
}

/** A session whose command tells its bus's address, and waits until the bus was asked. @returns what went wrong, if anything */
export async function tryRun(options: DoctorOptions, caller: Caller, incoming: Incoming): Promise<string | undefined> {
  // What a variable has named, the trial finds by itself, and tells of it.
  const words = (['runtimeBase', 'dbusDaemon'] as const).flatMap(name => {
    const {value, source} = askedFor(name, options) ?? {};
    return value !== undefined && source?.startsWith('-') ? [source, value] : [];
  });
  let answer: Promise<boolean> | undefined;
  const ran = await runInterruptibly({
    path: FRAME,
    words: [...(log.verbose ? ['--verbose'] : []), ...words, '--', '/bin/sh', '-c', 'echo "$DBUS_SESSION_BUS_ADDRESS"; read -r line'],
    environment: changedEntries(caller, {JOBBUS_VERBOSE: null}),
    reply(output) {
      const [address = '', ...rest] = output.toString().split('\n');
      if (rest.length === 0 || answer !== undefined) {
        return undefined;
      }

      answer = doesAnswer(address);
      return answer.then(() => '\n');
    },
  }, incoming);
  if (log.verbose && ran.ok) {
    linesOf(ran.value.errors).forEach(line => explain(`trial run: ${line}`));
  }

  return trialProblem(ran) ?? ((await answer) === true ? undefined : 'its bus did not answer');
}

function trialProblem(ran: Result<Ran>): string | undefined {
  if (!ran.ok) {
    return wording(ran.failure);
  }

  const {status, errors} = ran.value;
  if (status === undefined) {
    return `it was not done within ${TRIAL_TIME / 1000} s`;
  }

  const problems = linesOf(errors).filter(line => !log.verbose || line.includes(' failed: '));
  return status === 0 ? undefined : `failed with status ${status}: ${problems.join(' | ')}`;
}

/** Of what a program has said; the empty string where it has said nothing. */
export function lastLine(said: Buffer): string {
  return linesOf(said).at(-1) ?? '';
}

function linesOf(said: Buffer): string[] {
  return said.toString().split('\n').filter(line => line !== '').map(line => line.replace(/^jobbus-run(\[\d+\])?: /, ''));
}

async function doesAnswer(address: string): Promise<boolean> {
  const [, kind, place = ''] = /^unix:(path|abstract)=(.*)$/.exec(address) ?? [];
  return (await connectionOwners(kind === 'abstract' ? `\0${place}` : decodeURIComponent(place), ANSWER_TIME)) !== undefined;
}
