/** Whether a directory takes sockets: some file systems let none be bound, or bind one that nobody can connect to. */

import {unlinkSync} from 'node:fs';
import {systemReason} from '../../cli/failure.js';
import {ifPossible} from '../../system/if-possible.js';
import {close} from '../../system/descriptors.js';
import {systemError} from '../../system/errno.js';
import {bind, connect, listen} from '../../system/unix.js';

/** Binds a socket in the directory, connects to it and removes it. @returns what failed */
export function socketProblem(directory: string): string | undefined {
  const path = `${directory}/probe`;
  const server = bind(Buffer.from(path));
  if (server < 0) {
    return `no socket can be bound there: ${systemReason(systemError(-server))}`;
  }

  listen(server, 1);
  const reason = connectProblem(path);
  close(server);
  ifPossible(() => unlinkSync(path)); // Such a file system may lose it; what is left goes with the directory.
  return reason && `no socket can be connected to there: ${reason}`;
}

/** Connects to a socket that somebody listens on, which the kernel answers at once. @returns why it cannot */
export function connectProblem(path: string): string | undefined {
  const client = connect(Buffer.from(path));
  if (client < 0) {
    return systemReason(systemError(-client));
  }

  close(client);
  return undefined;
}
