/**
 * The command's tree: what runs below us, but for our helpers. We are its sub-reaper: who loses its parent there stays below us, and becomes
 * our child. So nobody of it is left when no child of ours is, and of each that ends the kernel tells us.
 */

import {findMembers, hasMembers, type Member, type Roots} from '../session/members/members.js';
import type {SessionJob} from '../session/job.js';
import {onAnyChange} from '../system/children.js';
import {statusOf} from '../system/processes.js';

export interface Tree {
  /** Who is there now, nearest first. */
  readonly members: () => readonly Member[];
  /** Set once nobody is left: we sleep until then, but for each child that ends. */
  readonly emptied: () => Promise<void>;
  /** Start times, by pid, of those that have got a signal that asks for the end, from us or by themselves. */
  readonly asked: Map<number, string>;
}

/** @param helpers of ours, and whoever else is no process of the command's, for all that they are below us */
export function treeWithout(helpers: () => ReadonlySet<number>, job: SessionJob): Tree {
  const processes = [statusOf(process.pid)!];
  const roots = (): Roots => ({processes, helpers: helpers(), spared: new Set(), job});
  return {
    members: () => findMembers(roots()),
    emptied: async () => new Promise(resolve => {
      const look = (): void => {
        if (!hasMembers(roots())) {
          stop();
          resolve();
        }
      };
      const stop = onAnyChange(look);
      look();
    }),
    asked: new Map(),
  };
}
