/** A client of a bus: what dbus-send(1) does in a process of its own. */

import {close, readAvailable, write} from '../../system/descriptors.js';
import {after, onReadable, type Stop} from '../../system/loop.js';
import {connect, peerOf} from '../../system/unix.js';

/**
 * Connects, and does something with it.
 *
 * @param socketPath behind a NUL, a name without a path
 * @param time milliseconds
 * @param daemon who is to answer there, and nobody else; undefined: whoever does
 * @returns what it returns; undefined when the bus does not answer in time, or with an error
 */
export async function withClient<Value>(socketPath: string, time: number, use: (client: Client) => Promise<Value>, daemon?: number): Promise<Value | undefined> {
  const socket = connect(Buffer.from(socketPath));
  if (socket < 0) {
    return undefined;
  }

  const client = new Client(socket);
  const stop = after(time, () => client.close());
  try {
    if (daemon !== undefined && peerOf(socket) !== daemon) {
      return undefined;
    }

    await client.authenticate();
    await client.call('Hello');
    return await use(client);
  } catch {
    return undefined;
  } finally {
    stop();
    client.close();
  }
}

/** Who is called, and for what. */
export interface Target {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
}

export const BUS: Target = {destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus'};

/** The answer to a call is an error. */
export class Refusal extends Error {}

const METHOD_RETURN = 2;

/** The codes of a message's header fields. */
const FIELD = {path: 1, interface: 2, member: 3, replySerial: 5, destination: 6, signature: 8};

interface Awaited {
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Speaks just enough of the D-Bus specification to call the bus itself, and who is on it. */
export class Client {
  private serial = 0;
  private received = Buffer.alloc(0);
  private greeting: Awaited | undefined;
  private readonly awaited = new Map<number, Awaited>();
  private stop: Stop | undefined;

  constructor(private readonly socket: number) {
    this.stop = onReadable(socket, () => this.receive());
  }

  /** Who we are the bus sees by the socket. */
  async authenticate(): Promise<void> {
    const answer = new Promise<Buffer>((resolve, reject) => (this.greeting = {resolve, reject}));
    this.send(Buffer.from(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid!())).toString('hex')}\r\n`));
    if (!(await answer).toString().startsWith('OK ')) {
      throw new Error('refused');
    }

    this.send(Buffer.from('BEGIN\r\n'));
  }

  /** Calls a method of the bus itself. @returns the body of the answer */
  async call(member: string, argument?: Argument): Promise<Buffer> {
    return this.ask(BUS, member, argument);
  }

  /** @returns the body of the answer. @throws Refusal */
  async ask(target: Target, member: string, argument?: Argument): Promise<Buffer> {
    const serial = ++this.serial;
    const answer = new Promise<Buffer>((resolve, reject) => this.awaited.set(serial, {resolve, reject}));
    this.send(methodCall(serial, target, member, argument));
    return answer;
  }

  close(): void {
    if (this.stop !== undefined) {
      this.stop();
      this.stop = undefined;
      close(this.socket);
    }

    // What is asked of a closed one, too.
    [this.greeting, ...this.awaited.values()].forEach(each => each?.reject(new Error('closed')));
  }

  /** A bus that takes no more of so little is as good as gone. */
  private send(bytes: Buffer): void {
    if (this.stop === undefined || write(this.socket, bytes) !== bytes.length) {
      this.close();
    }
  }

  private receive(): void {
    const bytes = readAvailable(this.socket);
    if (!Buffer.isBuffer(bytes) || bytes.length === 0) {
      this.close();
      return;
    }

    if (this.greeting !== undefined) {
      this.greeting.resolve(bytes);
      this.greeting = undefined;
      return;
    }

    this.received = Buffer.concat([this.received, bytes]);
    for (let length = messageLength(this.received); length <= this.received.length; length = messageLength(this.received)) {
      this.take(this.received.subarray(0, length));
      this.received = this.received.subarray(length);
    }
  }

  private take(message: Buffer): void {
    const waiting = this.awaited.get(replySerial(message));
    if (waiting === undefined) {
      return; // A signal, such as NameAcquired.
    }

    this.awaited.delete(replySerial(message));
    if (message[1] === METHOD_RETURN) {
      waiting.resolve(message.subarray(message.length - message.readUInt32LE(4)));
    } else {
      waiting.reject(new Refusal('answered with an error'));
    }
  }
}

/** A value as the specification marshals it. */
export interface Argument {
  readonly signature: string;
  readonly body: Buffer;
}

/** One argument for each. */
export function stringArgument(...texts: readonly string[]): Argument {
  return {signature: 's'.repeat(texts.length), body: texts.reduce((before, text) => Buffer.concat([padded(before, 4), string(text)]), Buffer.alloc(0))};
}

/** A dictionary of strings. */
export function dictionaryArgument(pairs: ReadonlyArray<readonly [string, string]>): Argument {
  const entries = pairs.reduce((before, [key, value]) => Buffer.concat([padded(before), padded(string(key), 4), string(value)]), Buffer.alloc(0));
  // Its length does not count what is between it and the first entry.
  return {signature: 'a{ss}', body: Buffer.concat([padded(number(entries.length)), entries])};
}

function methodCall(serial: number, target: Target, member: string, argument: Argument | undefined): Buffer {
  const body = argument?.body ?? Buffer.alloc(0);
  const fields = [
    field(FIELD.path, 'o', string(target.path)),
    field(FIELD.interface, 's', string(target.interface)),
    field(FIELD.member, 's', string(member)),
    field(FIELD.destination, 's', string(target.destination)),
    ...(argument === undefined ? [] : [field(FIELD.signature, 'g', signature(argument.signature))]),
  ].reduce((before, after) => Buffer.concat([padded(before), after]), Buffer.alloc(0));
  return Buffer.concat([Buffer.from('l\x01\0\x01'), number(body.length), number(serial), number(fields.length), padded(fields), body]);
}

function field(code: number, type: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([code]), signature(type), value]);
}

function signature(text: string): Buffer {
  return Buffer.from(`${String.fromCharCode(text.length)}${text}\0`);
}

function string(text: string): Buffer {
  return Buffer.concat([number(Buffer.byteLength(text)), Buffer.from(`${text}\0`)]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Structures start at multiples of 8, strings at multiples of 4. */
function padded(bytes: Buffer, boundary = 8): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length, boundary) - bytes.length)]);
}

export function align(offset: number, boundary: number): number {
  return Math.ceil(offset / boundary) * boundary;
}

const FIXED_HEADER = 16;

/** Infinite until enough has come to tell. */
function messageLength(received: Buffer): number {
  return received.length < FIXED_HEADER ? Infinity : FIXED_HEADER + align(received.readUInt32LE(12), 8) + received.readUInt32LE(4);
}

/** 0 where the message answers nothing. */
function replySerial(message: Buffer): number {
  const end = FIXED_HEADER + message.readUInt32LE(12);
  for (let at = FIXED_HEADER; at < end; at = align(at, 8)) {
    const type = String.fromCharCode(message[at + 2]!);
    const value = at + 4;
    if (message[at] === FIELD.replySerial) {
      return message.readUInt32LE(value);
    }

    at = type === 'u' ? value + 4 : type === 'g' ? value + message[value]! + 2 : value + 4 + message.readUInt32LE(value) + 1;
  }

  return 0;
}
