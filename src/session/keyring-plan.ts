/** Which keyring a session has, where its keyrings are, and the password that opens them. */

import {constants, fstatSync, readSync} from 'node:fs';
import {failed, success, systemReason, type Result} from '../cli/failure.js';
import type {SessionOptions} from '../cli/options.js';
import {encode} from '../system/bytes.js';
import {directoryOf, type Caller} from '../system/caller.js';
import {absolutePath, findExecutable} from '../system/executable.js';
import {withFile} from '../system/untrusted-file.js';
import {randomLetters} from './name.js';

/** What keeper and keyring need to know before there is a directory. */
export interface KeyringPlan {
  readonly binary: string;
  /** Entries for its environment, and behind these what to execute. */
  readonly words: readonly string[];
  readonly password: Buffer;
  /** Where keyrings of the session's own are to be, if it has them; the directory must exist. */
  readonly keyrings: string | undefined;
  /** That has the password, for messages. */
  readonly file: string | undefined;
}

/** Bytes; gnome-keyring-daemon takes 8192. */
const LONGEST_PASSWORD = 4096;

/** Of which nobody is told. */
const PASSWORD_LETTERS = 32;

/** @returns undefined where none was asked for */
export function planKeyring({keyring}: SessionOptions, directory: string, caller: Caller): Result<KeyringPlan | undefined> {
  if (keyring === undefined) {
    return success(undefined);
  }

  const found = findExecutable('gnome-keyring-daemon', absolutePath(caller.environment.PATH));
  if (!found.ok) {
    return failed({kind: 'no-keyring'});
  }

  const {file} = keyring;
  const password = file === undefined ? success(Buffer.from(randomLetters(PASSWORD_LETTERS))) : readPassword(file, caller);
  if (!password.ok) {
    return password;
  }

  const data = file === undefined ? `${directory}/keyring-data` : undefined;
  const words = [
    // GLib has a program with a capability find its bus here, and nowhere else.
    `XDG_RUNTIME_DIR=${directory}`,
    ...(data === undefined ? [] : [`XDG_DATA_HOME=${data}`]),
    found.value,
    '--foreground',
    '--unlock',
    '--components=secrets',
    // Whatever GNOME_KEYRING_CONTROL says.
    `--control-directory=${directory}/keyring`,
  ];
  return success({binary: found.value, words, password: password.value, keyrings: data && `${data}/keyrings`, file});
}

function readPassword(file: string, caller: Caller): Result<Buffer> {
  const path = encode(file.startsWith('/') ? file : `${directoryOf(caller)}/${file}`);
  try {
    const text = withFile(path, constants.O_RDONLY, readProtected);
    return typeof text === 'string' ? failed({kind: 'password', file, reason: text}) : success(text);
  } catch (error) {
    return failed({kind: 'password', file, reason: (error as NodeJS.ErrnoException).code === 'ELOOP' ? 'it is a symbolic link' : systemReason(error)});
  }
}

/** @returns what is in its one line; or, as text, why that cannot serve */
function readProtected(descriptor: number): Buffer | string {
  const stats = fstatSync(descriptor);
  if (!stats.isFile()) {
    return 'it is no regular file';
  }

  if (stats.uid !== process.getuid!()) {
    return `it belongs to user ${stats.uid}`;
  }

  if ((stats.mode & 0o077) !== 0) {
    return 'others have a permission for it';
  }

  const bytes = Buffer.alloc(LONGEST_PASSWORD + 2);
  const length = readSync(descriptor, bytes);
  const line = bytes.subarray(0, bytes[length - 1] === NEWLINE ? length - 1 : length);
  return lineProblem(line) ?? line;
}

const NEWLINE = 0x0a;

function lineProblem(line: Buffer): string | undefined {
  if (line.length === 0) {
    return 'it is empty';
  }

  if (line.length > LONGEST_PASSWORD) {
    return `it has more than ${LONGEST_PASSWORD} bytes`;
  }

  return line.includes(NEWLINE) ? 'it has more than one line' : undefined;
}
