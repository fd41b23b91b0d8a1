/** For tests by root that need an ordinary user. */

import {cpSync} from 'node:fs';
import {join} from 'node:path';
import {project, type Bench} from './jobbus.js';

export const NOBODY = '65534';

/** Words for setpriv. */
export function asNobody(...words: readonly string[]): string[] {
  return ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', ...words];
}

/** Copies jobbus-run to where every user may run it. @returns the launcher's path */
export function installFor({base}: Bench): string {
  for (const part of ['bin', 'dist']) {
    cpSync(join(project, part), join(base, 'install', part), {recursive: true});
  }

  return join(base, 'install/bin/jobbus-run');
}
