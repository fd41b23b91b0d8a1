/** The frame's other parts, started by the name that tells it which it is to be. */

import {closeSync, openSync} from 'node:fs';
import {encode} from '../system/bytes.js';
import type {Changes} from './environment.js';
import {failed, success, systemReason, type Failure, type Result} from '../cli/failure.js';
import {readText, statusOf, type Process} from '../system/processes.js';
import type {Caller} from '../system/caller.js';
import {setInherited} from '../system/descriptors.js';
import {systemError} from '../system/errno.js';
import {become, spawn, type Program} from '../system/spawn.js';

/** Beside the engine's own file, as the frame itself looks for that. */
export const FRAME = process.execPath.replace(/\/lib\/jobbus-run\/[^/]*$/, '/bin/jobbus-run');

export interface CommandLine {
  /** Where it was found. */
  readonly path: string;
  readonly words: ReadonlyArray<string | Uint8Array>;
  readonly environment: ReadonlyArray<string | Uint8Array>;
}

type Part = 'keeper' | 'sentinel' | 'gate';

/** The directory of the session that a keeper was started for: by the words with which one is started. */
export function keptDirectory(pid: number): string | undefined {
  const [part, , directory] = readText(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
  return part === 'jobbus-keeper' ? directory : undefined;
}

/** @returns its pid, or a failure of kind `helper` */
export function startPart(part: Part, words: ReadonlyArray<string | Uint8Array>, rest: Pick<Program, 'environment' | 'descriptors'>): Result<number> {
  const pid = spawn({path: FRAME, words: [`jobbus-${part}`, ...words], ...rest});
  return pid < 0 ? failed({kind: 'helper', helper: part, reason: systemReason(systemError(-pid))}) : success(pid);
}

/** What a gate is told of the caller. @param pipes descriptors of its control and its status; none where nobody stands behind it */
export function gateWords({settings, directory, closed}: Caller, pipes: readonly [number, number] | undefined): readonly string[] {
  return [settings, directory ?? '-', closed || '-', ...(pipes ?? ['-', '-'])].map(String);
}

/** Becomes the command, through the gate: nothing of ours is left, and all is again as the caller has it. @returns only if it fails */
export function becomeCommand({path, words, environment}: CommandLine, caller: Caller): Failure {
  inherited(caller).forEach(descriptor => setInherited(descriptor, true));
  const error = become({path: FRAME, words: ['jobbus-gate', ...gateWords(caller, undefined), encode(path), ...words], environment});
  return {kind: 'helper', helper: 'gate', reason: systemReason(systemError(-error))};
}

/** What the command gets of the caller's: descriptors, the working directory's with them. */
export function inherited({descriptors, directory}: Caller): readonly number[] {
  return [...descriptors, ...(directory === undefined ? [] : [directory])];
}

/** Starts a jobbus-run that nobody waits for: in a session of its own, with nothing of the caller's but the environment. @returns its process */
export function startAnew(words: readonly string[], caller: Caller): Process | undefined {
  keepForUs(caller);
  const nothing = openSync('/dev/null', 'r+');
  const pid = spawn({path: FRAME, words: ['jobbus-run', ...words], environment: caller.entries, isForeign: true, descriptors: new Map([0, 1, 2].map(each => [each, nothing]))});
  closeSync(nothing);
  return pid < 0 ? undefined : statusOf(pid);
}

/** From now on nothing that is started inherits what the caller has handed down. */
export function keepForUs(caller: Caller): void {
  inherited(caller).forEach(descriptor => setInherited(descriptor, false));
}

/** The caller's environment for another program, byte for byte, but for these names. @param changes values as strings of bytes.ts; null: removed */
export function changedEntries({entries}: Caller, changes: Changes): readonly Uint8Array[] {
  const kept = entries.filter(entry => !Object.hasOwn(changes, entry.toString('latin1', 0, entry.indexOf('='))));
  return [...kept, ...Object.entries(changes).filter(([, value]) => value !== null).map(([name, value]) => encode(`${name}=${value!}`))];
}
