/**
 * The owners of a bus's connections, asked of the bus: a process that hides its environment from its own user, as
 * gnome-keyring-daemon with its capability does, is tied to its session by nothing else.
 *
 * Speaks just enough of the D-Bus specification for three calls of org.freedesktop.DBus.
 */

import {connect, type Socket} from 'node:net';

/** Milliseconds: where all wait for a processor, a bus that lives needs some hundred of them. */
const TIMEOUT = 1000;

/**
 * Node 20 fills up the name of a socket without a path, and so finds none of the daemon's; nor can the name be made longer:
 * libdbus takes 99 bytes.
 *
 * @param time milliseconds
 * @returns pids; undefined when the bus does not answer in time
 */
export async function connectionOwners(socketPath: string, time = TIMEOUT): Promise<number[] | undefined> {
  const socket = connect(socketPath);
  const deadline = setTimeout(() => socket.destroy(), time);
  try {
    const bus = await Client.open(socket);
    await bus.call('Hello');
    const names = readStrings(await bus.call('ListNames'));
    const owners = await Promise.all(
      names.filter(name => name.startsWith(':')).map(async name => (await bus.call('GetConnectionUnixProcessID', name)).readUInt32LE()),
    );
    return owners.filter(pid => pid !== process.pid);
  } catch {
    return undefined;
  } finally {
    clearTimeout(deadline);
    socket.destroy();
  }
}

const BUS = 'org.freedesktop.DBus';
const METHOD_RETURN = 2;

/** The codes of a message's header fields. */
const FIELD = {path: 1, interface: 2, member: 3, replySerial: 5, destination: 6, signature: 8};

class Client {
  private serial = 0;
  private received = Buffer.alloc(0);
  private readonly awaited = new Map<number, {resolve: (body: Buffer) => void; reject: (error: Error) => void}>();

  private constructor(private readonly socket: Socket) {}

  static async open(socket: Socket): Promise<Client> {
    const client = new Client(socket);
    // Who we are the bus sees by the socket; the words are sent at once, for it answers them in order.
    socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid!())).toString('hex')}\r\n`);
    await new Promise<void>((resolve, reject) => {
      socket.once('data', (answer: Buffer) => (answer.toString().startsWith('OK ') ? resolve() : reject(new Error('refused'))));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    });
    socket.write('BEGIN\r\n');
    socket.on('data', (chunk: Buffer) => client.receive(chunk));
    socket.on('close', () => client.awaited.forEach(({reject}) => reject(new Error('closed'))));
    return client;
  }

  /** Calls a method of the bus itself. @returns the body of the answer */
  async call(member: string, argument?: string): Promise<Buffer> {
    const serial = ++this.serial;
    const answer = new Promise<Buffer>((resolve, reject) => this.awaited.set(serial, {resolve, reject}));
    this.socket.write(methodCall(serial, member, argument));
    return answer;
  }

  private receive(chunk: Buffer): void {
    this.received = Buffer.concat([this.received, chunk]);
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
      waiting.reject(new Error('the bus answered with an error'));
    }
  }
}

function methodCall(serial: number, member: string, argument: string | undefined): Buffer {
  const body = argument === undefined ? Buffer.alloc(0) : string(argument);
  const fields = [
    field(FIELD.path, 'o', string('/org/freedesktop/DBus')),
    field(FIELD.interface, 's', string(BUS)),
    field(FIELD.member, 's', string(member)),
    field(FIELD.destination, 's', string(BUS)),
    ...(argument === undefined ? [] : [field(FIELD.signature, 'g', signature('s'))]),
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

/** Structures start at multiples of 8. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length, 8) - bytes.length)]);
}

function align(offset: number, boundary: number): number {
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

/** The elements of an array of strings. */
function readStrings(body: Buffer): string[] {
  const strings: string[] = [];
  for (let at = 4; at < body.length; at = align(at, 4)) {
    const length = body.readUInt32LE(at);
    strings.push(body.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length + 1;
  }

  return strings;
}
