/** The secret service on a bus, asked for what a program meets there: is what it would use unlocked, or is there a prompt in the way? */

import {Refusal, stringArgument, withClient, type Client, type Target} from './client.js';
import {ownerOf} from './connections.js';
import {sleep} from '../../system/loop.js';

/** `open`: the default keyring is; `other`: that is not the login keyring, which is; `missing`: there is no login keyring, and none could be made. */
export type Standing = 'open' | 'locked' | 'other' | 'missing';

const SERVICE = 'org.freedesktop.secrets';
const ROOT = '/org/freedesktop/secrets';
const COLLECTION = 'org.freedesktop.Secret.Collection';

/** Milliseconds. */
const POLL_INTERVAL = 5;

/**
 * Waits until the service is served.
 *
 * @param owner the pid of who is to serve it: it has unlocked by then what it could
 * @param time milliseconds
 * @returns undefined where it is not served in time
 */
export async function secretsStanding(socketPath: string, owner: number, time: number): Promise<Standing | undefined> {
  return withClient(socketPath, time, async client => {
    while ((await unlessRefused(ownerOf(client, SERVICE))) !== owner) {
      await sleep(POLL_INTERVAL);
    }

    const isUnlocked = await whetherUnlocked(client, 'collection/login');
    if (isUnlocked !== true) {
      return isUnlocked === undefined ? 'missing' : 'locked';
    }

    return (await whetherUnlocked(client, 'aliases/default')) === true ? 'open' : 'other';
  });
}

/** @returns undefined of one that is not there */
async function whetherUnlocked(client: Client, collection: string): Promise<boolean | undefined> {
  const target: Target = {destination: SERVICE, path: `${ROOT}/${collection}`, interface: 'org.freedesktop.DBus.Properties'};
  const answer = await unlessRefused(client.ask(target, 'Get', stringArgument(COLLECTION, 'Locked')));
  return answer?.equals(FALSE);
}

/** A variant of a boolean: its signature, and a number of 32 bits behind it. */
const FALSE = Buffer.from('\x01b\0\0\0\0\0\0');

async function unlessRefused<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Refusal) {
      return undefined;
    }

    throw error;
  }
}
