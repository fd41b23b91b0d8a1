/**
 * Open directories, and what is done in one: openat(2) and its like, said by `/proc/self/fd/N/name`, for the listing by getdents64(2).
 *
 * Whatever happens to the paths meanwhile, what is done is done in the directory that was opened. Names are bytes: one that is not
 * UTF-8 would not survive as a string.
 */

import {chmodSync, closeSync, constants, openSync, readlinkSync, renameSync, rmdirSync, unlinkSync} from 'node:fs';
import {systemError} from './errno.js';
import {call} from './libc.js';

export type Name = string | Buffer;

export interface Entry {
  readonly name: Buffer;
  /** As the listing tells; it may be something else by now. */
  readonly isDirectory: boolean;
}

/** Linux's O_PATH, which node:fs does not name: a handle on the file itself, whatever its mode. No file system is asked for it. */
export const O_PATH = 0o10000000;

/** By the architecture, as of syscall(2): glibc has a function of its own only since 2.30. */
const SYS_GETDENTS64 = process.arch === 'arm64' ? 61 : 217;

/** Bytes. */
const PORTION = 32_768;

/** struct linux_dirent64 of getdents64(2). */
const LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const DT_UNKNOWN = 0;
const DT_DIR = 4;

/** @throws where it is no directory, a link to one included */
export function openDirectory(path: Name): number {
  return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

/** @throws where it is no directory, a link to one included */
export function openDirectoryIn(directory: number, name: Name): number {
  return openDirectory(pathIn(directory, name));
}

export function closeDirectory(directory: number): void {
  closeSync(directory);
}

/** Of a directory of another user's, does nothing. */
export function openToUs(directory: number): void {
  try {
    chmodSync(handlePath(directory), 0o700);
  } catch {
    // What is then refused says so itself.
  }
}

/** What the directory holds, a portion at a time; what comes or goes meanwhile may be among it. */
export function* entriesOf(directory: number): Generator<Entry, undefined> {
  const listing = openSync(handlePath(directory), constants.O_RDONLY | constants.O_DIRECTORY);
  const buffer = Buffer.alloc(PORTION);
  try {
    for (let length = read(listing, buffer); length > 0; length = read(listing, buffer)) {
      yield* entriesIn(Buffer.from(buffer.subarray(0, length)), directory);
    }
  } finally {
    closeSync(listing);
  }
}

function read(listing: number, buffer: Buffer): number {
  const length = call('syscall', SYS_GETDENTS64, listing, buffer, buffer.length, 0, 0, 0);
  if (length < 0) {
    throw systemError(-length);
  }

  return length;
}

function* entriesIn(portion: Buffer, directory: number): Generator<Entry, void> {
  for (let at = 0; at < portion.length; at += portion.readUInt16LE(at + LENGTH_AT)) {
    const name = portion.subarray(at + NAME_AT, portion.indexOf(0, at + NAME_AT));
    const type = portion[at + TYPE_AT]!;
    if (!name.equals(SELF) && !name.equals(PARENT)) {
      yield {name, isDirectory: type === DT_DIR || (type === DT_UNKNOWN && isDirectory(directory, name))};
    }
  }
}

const SELF = Buffer.from('.');
const PARENT = Buffer.from('..');

/** Some file systems do not tell in the listing. */
function isDirectory(directory: number, name: Name): boolean {
  try {
    closeDirectory(openDirectoryIn(directory, name));
    return true;
  } catch {
    return false;
  }
}

export function unlinkIn(directory: number, name: Name): void {
  unlinkSync(pathIn(directory, name));
}

export function rmdirIn(directory: number, name: Name): void {
  rmdirSync(pathIn(directory, name));
}

export function renameIn(directory: number, name: Name, target: number, newName: Name): void {
  renameSync(pathIn(directory, name), pathIn(target, newName));
}

/** Where it is now. */
export function realPathOf(directory: number): string {
  return readlinkSync(handlePath(directory));
}

function pathIn(directory: number, name: Name): Buffer {
  return Buffer.concat([Buffer.from(`${handlePath(directory)}/`), Buffer.from(name)]);
}

function handlePath(directory: number): string {
  return `/proc/self/fd/${directory}`;
}
