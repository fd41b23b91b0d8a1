/** Sockets of unix(7), with a path and without one. */

import {close} from './descriptors.js';
import {call} from './libc.js';

const AF_UNIX = 1;
/** SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK */
const STREAM = 0o2004001;

/** The size of sun_path. */
export const LONGEST_PATH = 108;

/** @param path behind a NUL, a name without a path; as long as the bytes are */
function address(path: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + path.length + (path[0] === 0 ? 0 : 1));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(path, 2);
  return bytes;
}

/** @returns a descriptor; or a negative number of errno(3) */
export function bind(path: Uint8Array): number {
  return withSocket(socket => call('bind', socket, address(path), address(path).length));
}

/** The kernel answers at once; where nobody accepts, a full queue says EAGAIN. @returns a descriptor; or a negative number of errno(3) */
export function connect(path: Uint8Array): number {
  return withSocket(socket => call('connect', socket, address(path), address(path).length));
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/** Who listens where we have connected to: the pid that it had then; 0 where it cannot be seen from here. */
export function peerOf(socket: number): number {
  const credentials = new Int32Array(3);
  call('getsockopt', socket, SOL_SOCKET, SO_PEERCRED, credentials, new Int32Array([credentials.byteLength]));
  return credentials[0]!;
}

export function listen(socket: number, backlog: number): number {
  return call('listen', socket, backlog);
}

function withSocket(use: (socket: number) => number): number {
  const socket = call('socket', AF_UNIX, STREAM, 0);
  const result = socket < 0 ? socket : use(socket);
  if (result < 0 && socket >= 0) {
    close(socket);
  }

  return result < 0 ? result : socket;
}
