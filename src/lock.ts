/**
 * Is a session alive? Its jobbus-run is bound to an abstract socket of the session's name.
 *
 * The kernel frees the name the moment the process dies, however it dies: no pid file, no reuse of pids, nothing to remove.
 * Others look the name up in /proc/net/unix rather than connect: a look wakes nobody, and a thousand of them cost no more
 * than one. Who connects is sent away.
 */

import {readlinkSync} from 'node:fs';
import {createServer} from 'node:net';
import {failed, success, systemReason, type Result} from './failure.js';
import {readProc} from './processes.js';

const PREFIX = 'jobbus-run/';

/** The size of sun_path. Node 20 fills it up with NULs, later versions do not: filled up, a name is the same for all. */
const LONGEST_NAME = 108;

export interface Lock {
  /** Who inherits it holds the lock too. */
  readonly descriptor: number;
  release(): void;
}

/** Binds the name in this network namespace until the process ends, or until it is released. */
export async function takeLock(name: string): Promise<Result<Lock>> {
  const server = createServer(connection => connection.destroy());
  return new Promise(resolve => {
    server.once('error', error => resolve(failed({kind: 'lock', name, reason: systemReason(error)})));
    server.listen({path: `\0${PREFIX}${name}`.padEnd(LONGEST_NAME, '\0')}, () => {
      // Known to Node since 0.10, and not to its types.
      const {_handle: {fd}} = server as unknown as {_handle: {fd: number}};
      resolve(success({descriptor: fd, release: () => void server.close()}));
    });
    server.unref(); // A lock keeps no process alive.
  });
}

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
  const table = readProc('/proc/net/unix')?.toString('latin1') ?? '';
  // The kernel shows NUL as @.
  return new Set(Array.from(table.matchAll(/ @jobbus-run\/([^\s@]+)@*$/gm), match => match[1]!));
}
