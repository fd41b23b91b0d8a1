/** Where a shell would find a command, and why it cannot run it; and where programs of ours are looked for. */

import {accessSync, constants, statSync} from 'node:fs';
import {failed, success, systemReason, type Result} from '../cli/failure.js';
import {encode} from './bytes.js';

/** The path that execvp(3) searches when there is none, per confstr(3). */
const DEFAULT_PATH = '/bin:/usr/bin';

/**
 * @param path the value of PATH
 * @param directory from which relative paths lead
 * @returns the file's path; or a failure of kind `command-missing` or `command-unusable`
 */
export function findExecutable(command: string, path: string | undefined, directory = '.'): Result<string> {
  const named = command.includes('/');
  const candidates = named ? [command] : (path ?? DEFAULT_PATH).split(':').map(directory => `${directory || '.'}/${command}`);
  let reason: string | undefined;
  for (const candidate of command === '' ? [] : candidates) {
    const verdict = whyNot(candidate.startsWith('/') ? candidate : `${directory}/${candidate}`, named);
    if (verdict === undefined) {
      return success(candidate);
    }

    reason ??= verdict === 'missing' ? undefined : verdict;
  }

  return failed(reason === undefined ? {kind: 'command-missing', command} : {kind: 'command-unusable', command, reason});
}

/**
 * Where a program of ours is looked for, by a PATH: not in what is another directory wherever we are, and anybody's in /tmp. An empty PATH would
 * be the current directory.
 */
export function absolutePath(path: string | undefined): string {
  return path?.split(':').filter(directory => directory.startsWith('/')).join(':') || DEFAULT_PATH;
}

/** What is wrong with the name itself; everything else may be wrong with one place of a search. */
const OF_NAME = ['ELOOP', 'ENAMETOOLONG'];

/** @param named by the user, and not found in a search: one passes over places that are no directories, or where it may not look */
function whyNot(path: string, named: boolean): string | undefined {
  const file = encode(path);
  try {
    if (statSync(file).isDirectory()) {
      return 'it is a directory';
    }
  } catch (error) {
    const {code = ''} = error as NodeJS.ErrnoException;
    return code === 'ENOENT' || (!named && !OF_NAME.includes(code)) ? 'missing' : systemReason(error);
  }

  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}
