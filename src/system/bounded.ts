/** Programs that may run into a file system that hangs. */

import {absolutePath, findExecutable} from './executable.js';
import {runProgram} from './program.js';

/**
 * Runs a program. One that has not ended in time is killed, and not waited for.
 *
 * @param time milliseconds
 * @returns its exit status; undefined where it has none
 */
export async function statusWithin(time: number, program: string, words: readonly string[]): Promise<number | undefined> {
  const path = findExecutable(program, absolutePath(process.env.PATH));
  const ran = path.ok ? await runProgram({path: path.value, words, environment: [], time}) : undefined;
  return ran?.ok === true ? ran.value.status : undefined;
}
