/** Free ports of the loopback interface. */

import {once} from 'node:events';
import {createServer, type Server} from 'node:net';

/** Below the range from which the kernel takes ports for outgoing connections. */
const LOWEST = 20_000;
const COUNT = 12_000;

/** Chosen at random: other clusters on this machine choose at the same time. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = await listener(LOWEST + Math.floor(Math.random() * COUNT));
    if (server !== undefined) {
      servers.push(server);
    }
  }

  const ports = servers.map(server => (server.address() as {port: number}).port);
  await Promise.all(servers.map(async server => once(server.close(), 'close')));
  return ports;
}

/** @returns undefined when the port is taken */
async function listener(port: number): Promise<Server | undefined> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
