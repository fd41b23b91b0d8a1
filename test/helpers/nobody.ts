/** For tests by root that need an ordinary user. */

import {join} from 'node:path';
import {installInto} from './ground.js';
import type {Bench} from './jobbus.js';

export const NOBODY = '65534';

/** Words for setpriv. */
export function asNobody(...words: readonly string[]): string[] {
  return ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', ...words];
}

/** Installs jobbus-run to where every user may run it. @returns the launcher's path */
export function installFor({base}: Bench): string {
  return installInto(join(base, 'install'));
}
