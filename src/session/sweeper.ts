/**
 * The sweep beside a run, or a shell: a process of its own, which nobody waits for. Whatever it runs into, signals are forwarded and the
 * end of the run comes in time; and it goes on, where it may, when the run has ended.
 *
 * It is started only once a dead session was seen. That is claimed in its name, lest of a thousand runs that begin at once each start one.
 */

import {coveredParents} from './place/covers.js';
import {dirname} from './place/directory.js';
import {explain} from '../cli/log.js';
import type {Process} from '../system/processes.js';
import {lost} from './meeting-file.js';
import {commonParents, findDeadSession} from './sessions.js';
import type {Caller} from '../system/caller.js';
import {claim} from './claim.js';
import {startAnew} from './frame.js';

/**
 * Starts a sweeper, if there is anything for it to do.
 *
 * @param bases where to look; what is mounted on one must not hang
 * @param directory our own session's
 * @returns its process
 */
export function startSweeper(bases: readonly string[], directory: string, caller: Caller): Process | undefined {
  const found = findDeadSession(bases);
  const isLost = found === undefined && commonParents(bases).some(parent => lost(parent, bases).length > 0);
  if (found === undefined && !isLost && coveredParents(bases).length === 0) {
    return undefined;
  }

  const sweeper = startAnew(['--runtime-base', dirname(dirname(directory)), '--sweep'], caller);
  if (sweeper !== undefined) {
    explain(`process ${sweeper.pid} sweeps: ${isLost ? 'a session that was to be shared is gone' : found === undefined ? 'a FUSE is mounted on a parent of sessions' : `${found.directory} is dead (${found.reason})`}`);
    if (found !== undefined) {
      claim(found, sweeper);
    }
  }

  return sweeper;
}
