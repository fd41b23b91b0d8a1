/** What the bus gives to the services that it starts, and does not have itself. */

import {dictionaryArgument, withClient} from './client.js';

/** Milliseconds, on a node on which all wait for a processor. */
const TIMEOUT = 5000;

/**
 * @param pairs names and values; D-Bus takes nothing but UTF-8
 * @returns whether the bus has taken them
 */
export async function giveToServices(socketPath: string, pairs: ReadonlyArray<readonly [string, string]>): Promise<boolean> {
  return (await withClient(socketPath, TIMEOUT, async client => client.call('UpdateActivationEnvironment', dictionaryArgument(pairs)))) !== undefined;
}
