/** The file where those meet who share a session: what it tells, and taking it away. Its lock is rendezvous.ts's, or whoever's that takes it away. */

import {constants, existsSync, fstatSync, ftruncateSync, lstatSync, readdirSync, readSync, unlinkSync, writeSync} from 'node:fs';
import {systemReason} from '../cli/failure.js';
import {ifPossible} from '../system/if-possible.js';
import {lockFile} from '../system/file-lock.js';
import {withFile} from '../system/untrusted-file.js';
import {findCovers} from './place/covers.js';
import {dirname, discardEmpty} from './place/directory.js';
import {isSessionPath} from './sessions.js';

const NAME = /^share-[0-9a-f]{32}$/;

export function meetingPath(parent: string, digest: string): string {
  return `${parent}/share-${digest}`;
}

/** Whether it still has this path. */
export function isAt(path: string, file: number): boolean {
  const found = lstatSync(path, {throwIfNoEntry: false});
  const opened = fstatSync(file);
  return found?.ino === opened.ino && found.dev === opened.dev;
}

/** @returns what failed */
export function tell(file: number, line: string): string | undefined {
  try {
    ftruncateSync(file);
    writeSync(file, `${line}\n`, 0);
    return undefined;
  } catch (error) {
    return systemReason(error);
  }
}

const LONGEST_PATH = 4096;

/** Whatever stands there. */
export function sessionIn(file: number): string | undefined {
  const bytes = Buffer.alloc(LONGEST_PATH);
  const [path = ''] = bytes.toString('utf8', 0, fstatSync(file).isFile() ? readSync(file, bytes, 0, bytes.length, 0) : 0).split('\n', 1);
  return isSessionPath(path) ? path : undefined;
}

export function remove(path: string): void {
  ifPossible(() => {
    unlinkSync(path); // Of a directory, nothing.
    discardEmpty(dirname(path));
  });
}

/** What a session that has ended leaves is nobody's, unless another has taken its place. @param session its directory */
export function retire(path: string, session: string): void {
  whereFree(path, file => sessionIn(file) === session && remove(path));
}

/** Takes away what is {@link lost}. @param parent one of ours @param bases of which none hangs */
export function retireAll(parent: string, bases: readonly string[]): void {
  lost(parent, bases).forEach(path => whereFree(path, file => isLost(file, bases) && remove(path)));
}

/** Those of sessions that are gone. */
export function lost(parent: string, bases: readonly string[]): string[] {
  const names = ifPossible(() => readdirSync(parent)) ?? [];
  const paths = names.filter(name => NAME.test(name)).map(name => `${parent}/${name}`);
  const isCovered = paths.length === 0 ? () => false : findCovers();
  return paths.filter(path => !isCovered(path) && whereFree(path, file => isLost(file, bases)) === true);
}

/** Whether it tells of nothing, or of nothing that is there. A session may be where a server hangs: it is looked for in these bases alone. */
export function isLost(file: number, bases: readonly string[] = []): boolean {
  const session = sessionIn(file);
  return fstatSync(file).isFile() && (session === undefined || (bases.includes(dirname(dirname(session))) && !existsSync(session)));
}

/** @returns undefined where it is not there, or another has its lock */
function whereFree<Value>(path: string, use: (file: number) => Value): Value | undefined {
  return ifPossible(() => withFile(path, constants.O_RDWR, file => (lockFile(file) === 0 && isAt(path, file) ? use(file) : undefined)));
}

/** Without a lock, for people. @returns the directory of the session that would be joined */
export function meetingIn(parent: string, digest: string): string | undefined {
  const path = meetingPath(parent, digest);
  return findCovers()(path) ? undefined : ifPossible(() => withFile(path, constants.O_RDWR, sessionIn));
}
