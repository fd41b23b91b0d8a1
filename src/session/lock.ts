/**
 * Is a session alive? Its jobbus-run is bound to an abstract socket of the session's name.
 *
 * The kernel frees the name the moment the process dies, however it dies: no pid file, no reuse of pids, nothing to remove. Others look
 * the name up in /proc/net/unix; nobody listens at it, so nobody can connect.
 */

import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {close} from '../system/descriptors.js';
import {systemError} from '../system/errno.js';
import {bind, LONGEST_PATH} from '../system/unix.js';

const PREFIX = 'jobbus-run/';

export interface Lock {
  /** Who inherits it holds the lock too. */
  readonly descriptor: number;
  release(): void;
}

/** Binds the name in this network namespace until the process ends, or until it is released. It is filled up with NULs, as older versions have it. */
export function takeLock(name: string): Result<Lock> {
  const descriptor = bind(Buffer.from(`\0${PREFIX}${name}`.padEnd(LONGEST_PATH, '\0')));
  return descriptor < 0
    ? failed({kind: 'lock', name, reason: systemReason(systemError(-descriptor))})
    : success({descriptor, release: () => void close(descriptor)});
}
