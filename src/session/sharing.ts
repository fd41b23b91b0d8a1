/** A session for several: what its first does for the others. */

import {explain} from '../cli/log.js';
import type {SessionOptions} from '../cli/options.js';
import {endOf} from '../system/pidfd.js';
import {closeIfAlone} from './register.js';
import type {Rendezvous} from './rendezvous.js';

export interface Share {
  /** For people. */
  readonly key: string;
  /** Locked, until there is a session. */
  readonly rendezvous: Rendezvous;
}

/** What those who share a session should agree in. */
export function sharedWords({dbusDaemon, configFile, services, keyring}: Pick<SessionOptions, 'dbusDaemon' | 'configFile' | 'services' | 'keyring'>): string {
  const words = [
    dbusDaemon && `--dbus-daemon ${dbusDaemon}`,
    configFile && `--config-file ${configFile}`,
    !services && '--no-services',
    keyring && (keyring.file === undefined ? '--keyring' : `--keyring=${keyring.file}`),
  ];
  return words.filter(Boolean).join(' ') || 'no options';
}

/**
 * Waits until the last member has ended. Then nobody joins any more.
 *
 * @param stop ends the waiting
 * @returns whether nobody is left
 */
export async function awaitMembers(directory: string, stop = new Promise<unknown>(() => {})): Promise<boolean> {
  const stopped = stop.then(() => true);
  for (let members = closeIfAlone(directory); members.length > 0; members = closeIfAlone(directory)) {
    explain(`${directory} has ${members.length} other${members.length === 1 ? '' : 's'}: ${members.map(({pid}) => pid).join(', ')}`);
    for (const member of members) {
      if (await Promise.race([stopped, endOf(member).then(() => false)])) {
        return false;
      }
    }
  }

  return true;
}
