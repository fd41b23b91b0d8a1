/** Whether a directory takes sockets: some file systems let none be bound, or bind one that nobody can connect to. */

import {unlinkSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {systemReason} from './failure.js';

/** Binds a socket in the directory, connects to it and removes it. @returns what failed */
export async function socketProblem(directory: string): Promise<string | undefined> {
  const path = `${directory}/probe`;
  const server = createServer(connection => connection.destroy());
  const unbound = await new Promise<string | undefined>(resolve => {
    server.once('error', error => resolve(systemReason(error)));
    server.listen(path, () => resolve(undefined));
  });
  const reason = unbound ?? (await connectProblem(path));
  server.close();
  try {
    unlinkSync(path);
  } catch {
    // It was never bound.
  }

  return reason && `no socket can be ${unbound === undefined ? 'connected to' : 'bound'} there: ${reason}`;
}

/** Connects to a socket that somebody listens on, which the kernel answers at once. @returns why it cannot */
export async function connectProblem(path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    const client = connect(path, () => {
      resolve(undefined);
      // Behind what waits for the answer: a process's first destroy takes 0.4 ms.
      setImmediate(() => client.destroy());
    });
    client.once('error', error => resolve(systemReason(error)));
  });
}
