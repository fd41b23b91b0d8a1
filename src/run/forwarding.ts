/**
 * Forwarding: each signal reaches the command exactly as often as without us, whether its sender has signalled one process, a process
 * group, or a whole tree.
 *
 * On a signal we wait a moment, for a sender that goes from pid to pid, and then ask the sentinel that stands where the command stands.
 * What it has heard too, the command has got by itself.
 */

import {systemReason} from '../cli/failure.js';
import {explain, warn} from '../cli/log.js';
import {sharesGroup, type Process} from '../system/processes.js';
import {STOPPING, type Receipt} from '../session/incoming.js';
import {ESRCH, systemError} from '../system/errno.js';
import {now} from '../system/clock.js';
import {next, sleep} from '../system/loop.js';
import {resend, SI_KERNEL, SIGNALS, signalName, type Signal} from '../system/signals.js';
import {asks} from './request.js';
import type {Heard, Sentinel} from './sentinel.js';

/** In our process group; or in our tree, outside of it. */
export type Place = 'group' | 'tree';

/** In each place, one hears what all hear there. There is one in our tree once somebody may have left our group. */
export type Sentinels = ReadonlyMap<Place, Sentinel>;

export interface Target {
  /** Its pid. */
  readonly command: number;
  readonly sentinels: Sentinels;
  /** All whom a signal may concern now: the command, or with it all of its tree. */
  readonly listeners: () => readonly Process[];
  /** Whom of these we send it, unless it has got it by itself. */
  readonly isAddressed: (listener: Process) => boolean;
  /** Called with those of the listeners that have got it, from us or by themselves. */
  readonly onSettled: (signal: Signal, reached: readonly Process[]) => void;
}

/** Milliseconds in which a sender that goes from pid to pid may reach the sentinel after us; more than a busy core's time slice. */
const GATHERING_TIME = 20;

/**
 * A sender that goes from pid to pid may reach the sentinel so many milliseconds before us. Slurm's proctrack/linuxproc signals what the
 * tasks of a node have started, and then the tasks: measured, some 10 ms ahead with sixteen of them.
 */
const LEAD_TIME = 250;

/** What a terminal sends goes to a whole group at once: nobody goes from pid to pid. */
const OF_TERMINALS: readonly number[] = [SIGNALS.INT, SIGNALS.QUIT, SIGNALS.TSTP, SIGNALS.TTIN, SIGNALS.TTOU, SIGNALS.WINCH];

const FIRST_REALTIME = 32;

interface Undecided extends Receipt {
  /** Where it was heard: who stands there has got it by itself. */
  readonly heardIn: Set<Place>;
  /** The name of the signal that has taken it back. */
  revoker?: string;
}

export interface Forwarder {
  /** Takes each signal. */
  readonly forward: (receipt: Receipt) => void;
  /** Waits for what was sent to us with what the command has ended by, and is on its way, and for all that is undecided. */
  readonly settled: () => Promise<void>;
}

export function forwarder(target: Target): Forwarder {
  const undecided = new Set<Undecided>();

  const settle = async (receipt: Undecided): Promise<void> => {
    if (!isTranslated(receipt)) {
      // With one of a terminal's, what is pending for us now is taken in before it goes on.
      await (isOfTerminal(receipt.signal) ? new Promise<void>(next) : sleep(GATHERING_TIME));
      // They are asked in any case: what they have heard of a signal that was taken back must not stand for another.
      await Promise.all([...target.sentinels].map(async ([place, sentinel]) => {
        if ((await sentinel.ask()) && useUp(sentinel.heard, receipt)) {
          note(receipt, place);
        }
      }));
    }

    undecided.delete(receipt);
    explain(`${signalName(receipt.cameAs)} ${receipt.revoker === undefined ? deliverToAll(receipt) : `was taken back by ${receipt.revoker}`}`);
  };

  /** @returns what has become of it, for people */
  const deliverToAll = (receipt: Undecided): string => {
    const listeners = target.listeners();
    const hasIt = new Set(listeners.filter(({pid}) => receipt.heardIn.has(placeOf(pid))));
    const lacking = listeners.filter(listener => !hasIt.has(listener) && target.isAddressed(listener));
    lacking.forEach(({pid}) => deliver(pid, receipt.signal)); // Their pids are theirs: we have looked just now.
    target.onSettled(receipt.signal, [...hasIt, ...lacking]);
    if (lacking.length === 0) {
      return hasIt.size > 0 ? 'reached the command by itself' : 'came behind the command\'s end';
    }

    const whom = lacking.map(({pid}) => (pid === target.command ? 'the command' : `process ${pid}`));
    return `forwarded to ${whom.join(', ')}${isTranslated(receipt) ? ` as ${signalName(receipt.signal.number)}` : ''}`;
  };

  /**
   * Two of a standard signal that are pending for us at the same time are one, and the sentinel may have heard both: one answer is for all. And
   * where the first was still pending for the sentinel, it has heard nothing of a second from somebody else, as of a shell that hangs up and the
   * terminal behind it.
   */
  const note = (receipt: Receipt, place: Place): void => {
    const isCovered = ({signal, time}: Undecided): boolean => isAlike(signal, receipt.signal) || (signal.number === receipt.signal.number && time >= receipt.time);
    const covered = [...undecided].filter(each => (isRealtime(receipt.signal) ? each === receipt : isCovered(each)));
    covered.forEach(each => each.heardIn.add(place));
  };

  const forward = (receipt: Receipt): void => {
    const {number} = receipt.signal;
    // As in the kernel, for one that is pending. Behind a CONT that the command has got by itself, a TSTP would stop it for good.
    const revoked = number === SIGNALS.CONT ? STOPPING : STOPPING.includes(number) ? [SIGNALS.CONT] : [];
    [...undecided].filter(each => revoked.includes(each.signal.number)).forEach(each => (each.revoker ??= signalName(number)));
    const added: Undecided = {...receipt, heardIn: new Set()};
    undecided.add(added);
    void settle(added);
  };

  /** Who has signalled the whole tree may come to us last: its signal asks already where it was heard. */
  const noteHeard = async (): Promise<void> => {
    for (const [place, sentinel] of target.sentinels) {
      const request = (await sentinel.ask()) ? sentinel.heard.find(each => asks(each) && each.time >= now() - LEAD_TIME) : undefined;
      if (request !== undefined) {
        target.onSettled(request, target.listeners().filter(({pid}) => placeOf(pid) === place));
      }
    }
  };

  return {
    forward,
    async settled() {
      await sleep(GATHERING_TIME);
      while (undecided.size > 0) {
        await sleep(1);
      }

      await noteHeard();
    },
  };
}

function placeOf(pid: number): Place {
  return sharesGroup(pid) ? 'group' : 'tree';
}

/** Nobody has got by itself what it is now. */
export function isTranslated({signal, cameAs}: Receipt): boolean {
  return signal.number !== cameAs;
}

/** Signals the command as its sender has signalled us. */
export function deliver(pid: number, signal: Signal): void {
  const result = resend(pid, signal);
  if (result < 0 && result !== -ESRCH) {
    // A command such as sudo becomes another user's, whom we may send nothing.
    warn(`sending a signal to the command, process ${pid}, failed: ${systemReason(systemError(-result))}; is it another user's by now?`);
  }
}

/** @returns whether the sentinel has heard it; what it has heard is then used */
export function useUp(heard: Heard[], {signal, time}: Receipt): boolean {
  const matches = heard.filter(each => isAlike(each, signal) && each.time >= time - LEAD_TIME);
  for (const used of isRealtime(signal) ? matches.slice(0, 1) : matches) {
    heard.splice(heard.indexOf(used), 1);
  }

  return matches.length > 0;
}

function isAlike(one: Signal, other: Signal): boolean {
  return one.number === other.number && one.code === other.code && one.sender === other.sender && one.value === other.value;
}

/** Each counts for itself: they queue. */
function isRealtime({number}: Signal): boolean {
  return number >= FIRST_REALTIME;
}

function isOfTerminal({number, code}: Signal): boolean {
  return code === SI_KERNEL && OF_TERMINALS.includes(number);
}
