/** Files in whose place anybody may have put anything: a FIFO would block, a link could lead anywhere. */

import {closeSync, constants, openSync} from 'node:fs';

/** How such a file is opened. */
export const WARILY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** @throws what the system says */
export function withFile<Value>(path: string | Buffer, flags: number, use: (file: number) => Value): Value {
  const file = openSync(path, flags | WARILY);
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
