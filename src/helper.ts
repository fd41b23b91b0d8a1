/**
 * Starting our own small shells: keeper, sentinel and sweeper.
 *
 * None of them may hold a descriptor of the caller's: a pipe whose writer the command has closed must end for its
 * reader. Node has marked the low ones close-on-exec; at the others, the shielded, helpers get /dev/null.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {closeSync, openSync} from 'node:fs';
import {failed, success, systemReason, type Result} from './failure.js';
import {HELPER_MARK} from './processes.js';

export interface HelperOptions {
  readonly name: string;
  readonly script: string;
  readonly words: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** In a session, and so a process group, of its own. */
  readonly detached: boolean;
  readonly stdio: ReadonlyArray<'ignore' | 'pipe' | number>;
  /** Descriptors that a child would inherit and must not. */
  readonly shielded: readonly number[];
}

export async function startHelper(options: HelperOptions): Promise<Result<ChildProcess>> {
  let nothing: number | undefined;
  try {
    nothing = options.shielded.length === 0 ? undefined : openSync('/dev/null', 'r+');
    const stdio = [...options.stdio];
    for (const descriptor of options.shielded) {
      while (stdio.length <= descriptor) {
        stdio.push('ignore');
      }

      if (descriptor >= options.stdio.length) {
        stdio[descriptor] = nothing!;
      }
    }

    const child = spawn('/bin/sh', ['-c', options.script, `jobbus-${options.name}`, ...options.words], {
      detached: options.detached,
      env: {...options.environment, [HELPER_VARIABLE]: HELPER_VALUE},
      stdio,
    });
    return child.pid === undefined ? unstarted(options, await new Promise(resolve => child.once('error', resolve))) : success(child);
  } catch (error) {
    return unstarted(options, error); // No descriptor is left, say, or one that was inherited is above the limit.
  } finally {
    if (nothing !== undefined) {
      closeSync(nothing);
    }
  }
}

function unstarted({name}: HelperOptions, error: unknown): Result<ChildProcess> {
  return failed({kind: 'helper', helper: name, reason: systemReason(error)});
}

const [HELPER_VARIABLE = '', HELPER_VALUE = ''] = HELPER_MARK.split('=');
