/** What the kernel tells of locks: which names are bound, and by whom. lock.ts binds one. */

import {readlinkSync} from 'node:fs';
import {descriptorNumbers, descriptorTarget} from '../system/open-files.js';
import {readProc} from '../system/processes.js';

/** Where a lock can be seen: one network namespace of one boot. */
export interface Place {
  readonly boot: string;
  readonly networkNamespace: string;
}

export function lockPlace(): Place {
  return {
    boot: readProc('/proc/sys/kernel/random/boot_id')?.toString().trim() ?? '',
    networkNamespace: readlinkSync('/proc/self/ns/net'),
  };
}

/** The names that are bound in this network namespace. */
export function lockedNames(): ReadonlySet<string> {
  return new Set(locks('self').map(({name}) => name));
}

/** Whether a process holds a session's lock, as a jobbus-run does. */
export function holdsLock(pid: number): boolean {
  const sockets = locks(pid).map(({inode}) => `socket:[${inode}]`);
  return sockets.length > 0 && descriptorNumbers(pid).some(descriptor => sockets.includes(descriptorTarget(pid, descriptor) ?? ''));
}

/** Those in the network namespace of a process. */
function locks(of: number | 'self'): ReadonlyArray<{readonly inode: string; readonly name: string}> {
  const table = readProc(`/proc/${of}/net/unix`)?.toString('latin1') ?? '';
  // The kernel shows NUL as @.
  return Array.from(table.matchAll(/ (\d+) @jobbus-run\/([^\s@]+)@*$/gm), ([, inode, name]) => ({inode: inode!, name: name!}));
}
