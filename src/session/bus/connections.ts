/**
 * The owners of a bus's connections, asked of the bus: a process that hides its environment from its own user, as
 * gnome-keyring-daemon with its capability does, is tied to a dead session by nothing else.
 */

import {align, BUS, stringArgument, withClient, type Client} from './client.js';

/** Milliseconds: where all wait for a processor, a bus that lives needs some hundred of them. */
const TIMEOUT = 1000;

/**
 * @param socketPath behind a NUL, a name without a path
 * @param time milliseconds
 * @param daemon who is to answer: what a program has put in the bus's place may name any process; undefined: whoever does
 * @returns pids; undefined when the bus does not answer in time
 */
export async function connectionOwners(socketPath: string, time = TIMEOUT, daemon?: number): Promise<number[] | undefined> {
  return withClient(socketPath, time, async client => {
    const names = readStrings(await client.call('ListNames')).filter(name => name.startsWith(':'));
    const owners = await Promise.all(names.map(async name => ownerOf(client, name)));
    return owners.filter(pid => pid !== process.pid);
  }, daemon);
}

/** @returns pids of those who own a name for which the bus would start a service: they are its services, whoever has started them */
export async function serviceOwners(socketPath: string, daemon?: number): Promise<ReadonlySet<number>> {
  const pids = await withClient(socketPath, TIMEOUT, async client => {
    const known = new Set(readStrings(await client.call('ListActivatableNames')));
    const owned = readStrings(await client.call('ListNames')).filter(name => name !== BUS.destination && known.has(name));
    return Promise.all(owned.map(async name => ownerOf(client, name)));
  }, daemon);
  return new Set(pids);
}

/** @returns the pid of who owns a name, or of a connection. @throws Refusal, where nobody does */
export async function ownerOf(client: Client, name: string): Promise<number> {
  return (await client.call('GetConnectionUnixProcessID', stringArgument(name))).readUInt32LE();
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
