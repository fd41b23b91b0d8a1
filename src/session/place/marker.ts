/**
 * The marker: what shows that a directory is one of ours, where no record does.
 *
 * A name shows nothing: whoever may rename a directory of the user's can make it look like a dead session's. The marker is put in before
 * anything else and goes after all else, so what is in the directory of a session came there, and goes, under a mark; a dotfile, for commands
 * empty their runtime directory with `rm -rf "$XDG_RUNTIME_DIR"/*`.
 */

import {closeSync, constants, lstatSync, openSync, readdirSync} from 'node:fs';

export const MARKER_FILE = '.jobbus-run';

/** @throws what the system says */
export function mark(directory: string): void {
  closeSync(openSync(`${directory}/${MARKER_FILE}`, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600));
}

/** What a directory holds: a mark of ours; nothing, where who made it was killed before it could mark it, or who removed it behind the mark; or what may be anybody's. */
export type Holding = 'mark' | 'nothing' | 'unmarked';

export function holdingOf(directory: string): Holding {
  try {
    const found = lstatSync(`${directory}/${MARKER_FILE}`, {throwIfNoEntry: false});
    if (found?.isFile() === true && found.uid === process.getuid!()) {
      return 'mark';
    }

    return readdirSync(directory).length === 0 ? 'nothing' : 'unmarked';
  } catch {
    return 'unmarked'; // Where we cannot look, nothing shows that it is ours.
  }
}
