/** Removing a session's directory: what is mounted in it, what it holds, and in the end what tells of it. */

import {rmdirSync} from 'node:fs';
import {basename, dirname, discardEmpty} from './directory.js';
import {Emptying, MOUNTED, type Remainder} from './emptying.js';
import {ifPossible} from '../../system/if-possible.js';
import {detachMountsBelow} from '../../system/detaching.js';
import {sleep} from '../../system/loop.js';
import {mountOf, mountsBelow} from '../../system/mounts.js';
import {closeDirectory, entriesOf, openDirectory, openDirectoryIn, openToUs, realPathOf, type Entry} from '../../system/open-directory.js';
import {RECORD_FILE} from '../record.js';
import {systemReason} from '../../cli/failure.js';
import {MARKER_FILE} from './marker.js';

/**
 * What goes when all else has gone, in this order: who goes on after us, should we be killed, or where something stays, learns from the
 * record which processes are another job's, and from either that the directory is ours.
 */
export const REMOVED_LAST: readonly string[] = [RECORD_FILE, MARKER_FILE];

/** A service that is ending may still write, for a moment. */
const REMOVAL_ATTEMPTS = 5;
const REMOVAL_INTERVAL = 20;

/**
 * Removes what a session's directory holds, but for what goes last. Where something is mounted, nothing: what is mounted goes first. Says
 * nothing of what could not be removed: {@link removeDirectory} does.
 */
export async function clearDirectory(path: string): Promise<void> {
  await inDirectory(() => openDirectory(path), async directory => {
    if (mountsBelow(realPathOf(directory)).length === 0) {
      openToUs(directory);
      await new Emptying(directory, path, othersIn(directory)).run();
    }
  });
}

/**
 * Removes a session's directory and, where it was the last, the parent.
 *
 * @returns some of what could not be removed; nothing, when all is gone
 */
export async function removeDirectory(path: string): Promise<readonly Remainder[]> {
  let remains = await removeOnce(path);
  for (let attempt = 1; remains.length > 0 && attempt < REMOVAL_ATTEMPTS; attempt++) {
    await sleep(REMOVAL_INTERVAL);
    remains = await removeOnce(path);
  }

  discardEmpty(dirname(path));
  return remains;
}

/** Removes a directory of which nothing shows that it is ours: one that is empty, and no other. @returns why it stays, where it is there */
export function removeUnmarked(path: string): readonly Remainder[] {
  try {
    rmdirSync(path);
    discardEmpty(dirname(path));
    return [];
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [{path, reason: `${systemReason(error)}, and nothing in it shows that jobbus-run made it`}];
  }
}

async function removeOnce(path: string): Promise<readonly Remainder[]> {
  const remains = await inDirectory(() => openDirectory(dirname(path)), async parent => {
    await detachMountsBelow(`${realPathOf(parent)}/${basename(path)}`);
    const name = Buffer.from(basename(path));
    const inside = await inDirectory(() => openDirectoryIn(parent, name), async directory => emptied(directory, path, mountOf(parent)));
    // Or it is none any more: a file or a link that somebody has put there.
    return inside?.length ? inside : new Emptying(parent, dirname(path), [{name, isDirectory: inside !== undefined}]).run();
  });
  return remains ?? [];
}

/** @returns what is left of it */
async function emptied(directory: number, path: string, mount: string | undefined): Promise<readonly Remainder[]> {
  if (mountOf(directory) !== mount) {
    return [{path, reason: MOUNTED}];
  }

  openToUs(directory);
  let remains = await new Emptying(directory, path, othersIn(directory)).run();
  for (const name of REMOVED_LAST) {
    remains = remains.length > 0 ? remains : await new Emptying(directory, path, [{name: Buffer.from(name), isDirectory: false}]).run();
  }

  return remains;
}

/** But for what goes last. */
function* othersIn(directory: number): Generator<Entry, undefined> {
  for (const entry of entriesOf(directory)) {
    if (!REMOVED_LAST.includes(entry.name.toString())) {
      yield entry;
    }
  }
}

/** @returns undefined where it cannot be opened */
async function inDirectory<Value>(open: () => number, use: (directory: number) => Promise<Value>): Promise<Value | undefined> {
  const directory = ifPossible(open);
  if (directory === undefined) {
    return undefined;
  }

  try {
    return await use(directory);
  } finally {
    closeDirectory(directory);
  }
}
