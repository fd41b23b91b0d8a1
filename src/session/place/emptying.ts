/**
 * Emptying a directory, however deep, wide and odd the tree in it is.
 *
 * Through open directories, never through a link and never through a mount, without recursion, and with a few descriptors only. A path to what
 * lies deep would be longer than the kernel takes, and the way back up would need a descriptor for each level: so what lies deeper than
 * a few levels is moved up to the top, within its file system, and has its turn there.
 */

import {now} from '../../system/clock.js';
import {sleep} from '../../system/loop.js';
import {systemReason} from '../../cli/failure.js';
import {mountOf} from '../../system/mounts.js';
import {randomLetters} from '../name.js';
import {closeDirectory, entriesOf, openDirectoryIn, openToUs, renameIn, rmdirIn, unlinkIn, type Entry} from '../../system/open-directory.js';

export interface Remainder {
  /** Cut at some length. */
  readonly path: string;
  readonly reason: string;
}

/** Directories that are open at a time, each with a descriptor for itself and one for its listing. */
const DEEPEST = 16;

/** Milliseconds after which signals, timers and the daemon's end have their turn. */
const TURN_TIME = 10;

/** Of those that are told; in characters. */
const MOST_REMAINDERS = 10;
const LONGEST_PATH = 1000;

export const MOUNTED = 'a file system is mounted there';

/** A directory on the way from the top to where we are. */
interface Level {
  readonly directory: number;
  /** In the level above. */
  readonly name: Buffer;
  readonly entries: Iterator<Entry, undefined>;
  /** Something in it could not be removed. */
  isLeft: boolean;
}

/** Removes entries of an open directory, the top, with all that they hold. */
export class Emptying {
  private readonly levels: Level[];
  private readonly mount: string | undefined;
  private readonly remains: Remainder[] = [];
  private movedPrefix = '';
  private movedCount = 0;

  /** @param path the top's, for people */
  constructor(private readonly top: number, private readonly path: string, entries: Iterable<Entry>) {
    this.mount = mountOf(top);
    this.levels = [{directory: top, name: Buffer.alloc(0), entries: this.withMoved(entries), isLeft: false}];
  }

  /** @returns some of what could not be removed, and why */
  async run(): Promise<readonly Remainder[]> {
    try {
      let turn = now() + TURN_TIME;
      for (let level = this.levels.at(-1); level !== undefined; level = this.levels.at(-1)) {
        this.step(level);
        if (now() > turn) {
          await sleep(0);
          turn = now() + TURN_TIME;
        }
      }
    } finally {
      this.levels.reverse().forEach(level => this.close(level));
    }

    return this.remains;
  }

  private step(level: Level): void {
    const entry = this.attempt(level, undefined, () => level.entries.next().value);
    if (entry === undefined) {
      this.leave(level);
    } else {
      this.attempt(level, entry.name, () => (entry.isDirectory ? this.enter(level, entry.name) : this.remove(level, entry.name)));
    }
  }

  private remove(level: Level, name: Buffer): void {
    try {
      unlinkIn(level.directory, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EISDIR') {
        throw error;
      }

      this.enter(level, name);
    }
  }

  private enter(above: Level, name: Buffer): void {
    const directory = openDirectoryIn(above.directory, name);
    if (mountOf(directory) !== this.mount) {
      closeDirectory(directory);
      this.note(above, name, MOUNTED);
      return;
    }

    openToUs(directory);
    if (this.levels.length < DEEPEST) {
      this.levels.push({directory, name, entries: entriesOf(directory), isLeft: false});
    } else {
      closeDirectory(directory);
      this.moveUp(above, name);
    }
  }

  private moveUp(above: Level, name: Buffer): void {
    this.movedPrefix ||= `${randomLetters(8)}.`;
    renameIn(above.directory, name, this.top, `${this.movedPrefix}${this.movedCount}`);
    this.movedCount++;
  }

  /** What has been moved up has its turn behind the top's own. */
  private* withMoved(entries: Iterable<Entry>): Generator<Entry, undefined> {
    for (const entry of entries) {
      if (this.movedCount === 0 || !entry.name.toString().startsWith(this.movedPrefix)) {
        yield entry;
      }
    }

    for (let number = 0; number < this.movedCount; number++) {
      yield {name: Buffer.from(`${this.movedPrefix}${number}`), isDirectory: true};
    }
  }

  private leave(level: Level): void {
    this.levels.pop();
    this.close(level);
    const above = this.levels.at(-1);
    if (above !== undefined && level.isLeft) {
      above.isLeft = true;
    } else if (above !== undefined) {
      this.attempt(above, level.name, () => rmdirIn(above.directory, level.name));
    }
  }

  private close(level: Level): void {
    level.entries.return?.();
    if (level.directory !== this.top) {
      closeDirectory(level.directory);
    }
  }

  /** Something that is gone already is what we want. */
  private attempt<Value>(level: Level, name: Buffer | undefined, action: () => Value): Value | undefined {
    try {
      return action();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.note(level, name, systemReason(error));
      }

      return undefined;
    }
  }

  private note(level: Level, name: Buffer | undefined, reason: string): void {
    level.isLeft = true;
    if (this.remains.length < MOST_REMAINDERS) {
      const names = [...this.levels.slice(1, this.levels.indexOf(level) + 1).map(above => above.name), ...(name === undefined ? [] : [name])];
      const path = [this.path, ...names.map(String)].join('/');
      this.remains.push({path: path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path, reason});
    }
  }
}
