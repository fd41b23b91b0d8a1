/** A small system without Node, ps and machine-id, for tests by root. */

import {debianTree} from './debian.js';

/** Milliseconds: packages come over the network. */
export const ROOT_DIRECTORY_TIME = 600_000;

/** @returns its path; nobody may change anything in it */
export async function rootDirectory(): Promise<string> {
  return debianTree({place: '/var/tmp/jobbus-test-root', name: 'bookworm', suite: 'bookworm', packages: ['dbus-daemon', 'dbus-bin'], without: ['etc/machine-id']});
}
