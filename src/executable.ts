/** Where a shell would find a command, and why it cannot run it. */

import {accessSync, constants, statSync} from 'node:fs';
import {failed, success, systemReason, type Result} from './failure.js';

/** The path that execvp(3) searches when there is none, per confstr(3). */
const DEFAULT_PATH = '/bin:/usr/bin';

/**
 * @param path the value of PATH
 * @returns the file's path; or a failure of kind `command-missing` or `command-unusable`
 */
export function findExecutable(command: string, path: string | undefined): Result<string> {
  const named = command.includes('/');
  const candidates = named ? [command] : (path ?? DEFAULT_PATH).split(':').map(directory => `${directory || '.'}/${command}`);
  let reason: string | undefined;
  for (const candidate of command === '' ? [] : candidates) {
    const verdict = whyNot(candidate, named);
    if (verdict === undefined) {
      return success(candidate);
    }

    reason ??= verdict === 'missing' ? undefined : verdict;
  }

  return failed(reason === undefined ? {kind: 'command-missing', command} : {kind: 'command-unusable', command, reason});
}

/** @param named by the user, and not found in a search: one passes over directories, and over places where it may not look */
function whyNot(file: string, named: boolean): string | undefined {
  try {
    if (statSync(file).isDirectory()) {
      return named ? 'it is a directory' : 'missing';
    }
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    return !named || code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : systemReason(error);
  }

  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}
