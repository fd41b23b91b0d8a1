/**
 * Whom a signal concerns: the command; with --signal-all, all of its tree; with --wait, once the command has ended, all that is left.
 */

import {explain} from '../cli/log.js';
import type {RunOptions} from '../cli/options.js';
import {STOPPING, stopLike} from '../session/incoming.js';
import type {Process} from '../system/processes.js';
import {SIGNALS, type Signal} from '../system/signals.js';
import {deliver, type Target} from './forwarding.js';
import {asks, heeds} from './request.js';
import type {Tree} from './tree.js';

/** How far a run is. `left`: the command has ended, and what it has left still gets signals. `over`: nobody does any more. */
export interface Course {
  phase: 'running' | 'left' | 'over';
}

export interface Audience extends Pick<Target, 'listeners' | 'isAddressed' | 'onSettled'> {
  /** What has asked the command for its end asks all for theirs that have not heard of it. To be said as the command has ended. */
  passOn(): void;
}

export function audienceOf(command: Process, tree: Tree, course: Course, {signalAll, wait}: Pick<RunOptions, 'signalAll' | 'wait'>): Audience {
  let request: Signal | undefined;
  const others = (): readonly Process[] => (signalAll || wait ? tree.members().filter(({pid}) => pid !== command.pid) : []);
  const hasBeenAsked = ({pid, startTime}: Process): boolean => tree.asked.get(pid) === startTime;
  const noteAsked = (signal: Signal, listeners: readonly Process[]): void => {
    request = signal;
    listeners.filter(listener => heeds(listener, signal)).forEach(({pid, startTime}) => tree.asked.set(pid, startTime));
  };

  return {
    listeners: () => (course.phase === 'running' ? [command, ...others()] : course.phase === 'left' ? tree.members() : []),
    isAddressed: ({pid}) => signalAll || course.phase === 'left' || pid === command.pid,
    onSettled(signal, reached) {
      if (asks(signal)) {
        noteAsked(signal, reached);
      } else if (course.phase === 'left' && STOPPING.includes(signal.number)) {
        stopLike(SIGNALS.TSTP); // As when the command stops.
      }
    },
    passOn() {
      const signal = request;
      const unasked = signal === undefined ? [] : tree.members().filter(member => !hasBeenAsked(member));
      if (signal !== undefined && unasked.length > 0) {
        explain(`passing on to ${unasked.length} processes what has asked the command for its end`);
        unasked.forEach(({pid}) => deliver(pid, signal));
        noteAsked(signal, unasked);
      }
    },
  };
}
