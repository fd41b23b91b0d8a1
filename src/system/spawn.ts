/**
 * Starting a program: with the descriptors that it is given and nothing else of ours, in our process group.
 *
 * posix_spawn(3), for a fork would copy an engine. It holds us until the program has been executed, so only what is known to be
 * at hand is started so; what may hang, the command, is executed by the gate.
 */

import {call, callPosix, cString, cStrings} from './libc.js';
import {close, duplicate} from './descriptors.js';

export interface Program {
  readonly path: string | Uint8Array;
  /** With the program's own name in front. */
  readonly words: ReadonlyArray<string | Uint8Array>;
  readonly environment: ReadonlyArray<string | Uint8Array>;
  /** Its number in the program, and ours. What of ours does not close on exec is inherited besides. */
  readonly descriptors: ReadonlyMap<number, number>;
  /** Not a part of ours, which knows what to do with all signals blocked: it gets none blocked and none ignored, and a session of its own. */
  readonly isForeign?: boolean;
}

/** Of posix_spawn_file_actions_t and posix_spawnattr_t; glibc's have 80 and 336. */
const ACTIONS_SIZE = 256;
const ATTRIBUTES_SIZE = 512;

/** spawn.h */
const POSIX_SPAWN_SETSIGDEF = 4;
const POSIX_SPAWN_SETSIGMASK = 8;
const POSIX_SPAWN_SETSID = 0x80;

/** @returns its pid; or a negative number of errno(3) */
export function spawn({path, words, environment, descriptors, isForeign = false}: Program): number {
  const actions = new Uint8Array(ACTIONS_SIZE);
  const attributes = isForeign ? foreignAttributes() : null;
  const pid = new Int32Array(1);
  // A number may be a source and a target: what is handed over comes from above all targets.
  let lowest = 0;
  for (const target of descriptors.keys()) {
    lowest = Math.max(lowest, target + 1);
  }

  const sources = [...descriptors].map(([target, source]): [number, number] => [target, duplicate(source, lowest)]);
  const failed = sources.find(([, source]) => source < 0);
  callPosix('posix_spawn_file_actions_init', actions);
  sources.forEach(([target, source]) => callPosix('posix_spawn_file_actions_adddup2', actions, source, target));
  const argv = cStrings(words);
  const envp = cStrings(environment);
  const result = failed === undefined ? callPosix('posix_spawn', pid, cString(path), actions, attributes, argv.pointers, envp.pointers) : failed[1];
  held = [argv.strings, envp.strings];
  callPosix('posix_spawn_file_actions_destroy', actions);
  if (attributes !== null) {
    callPosix('posix_spawnattr_destroy', attributes);
  }

  sources.forEach(([, source]) => source >= 0 && close(source));
  return result < 0 ? result : pid[0]!;
}

function foreignAttributes(): Uint8Array {
  const attributes = new Uint8Array(ATTRIBUTES_SIZE);
  callPosix('posix_spawnattr_init', attributes);
  callPosix('posix_spawnattr_setflags', attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  callPosix('posix_spawnattr_setsigdefault', attributes, new BigUint64Array(16).fill(0xffff_ffff_ffff_ffffn));
  callPosix('posix_spawnattr_setsigmask', attributes, new BigUint64Array(16));
  return attributes;
}

/** What the pointers of the last call point to; without a use behind it, the collector might have been there before. */
export let held: ReadonlyArray<readonly Uint8Array[]> = [];

/** Becomes the program, with what of ours does not close on exec. @returns on failure only: a negative number of errno(3) */
export function become({path, words, environment}: Pick<Program, 'path' | 'words' | 'environment'>): number {
  const argv = cStrings(words);
  const envp = cStrings(environment);
  const result = call('execve', cString(path), argv.pointers, envp.pointers);
  held = [argv.strings, envp.strings];
  return result;
}

/**
 * Root becomes the user for good, with all groups that the system's databases give them. The C library sees to it that all threads do.
 *
 * @param name for these databases
 * @returns 0, or a negative number of errno(3): what it is then, nobody is to go on with
 */
export function becomeUser(user: number, group: number, name: string): number {
  return call('initgroups', cString(name), group) || call('setgid', group) || call('setuid', user);
}

/** Ends this process: what the engine would do at its exit is for others. */
export function exit(status: number): never {
  call('_exit', status);
  throw new Error('unreachable');
}
