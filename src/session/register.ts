/**
 * Who has joined a session from outside: a line each in its marker. Lines are only appended, and the kernel puts them in one order.
 *
 * Who joins writes its line while it is still ours, and has joined if nobody has closed the register in front of that line; who ends the session closes it
 * first. So each that has joined is known to the end, whatever it becomes, and nobody joins what is ending. There is no lock: who is stopped in the midst
 * would hold it against all others.
 */

import {constants, fstatSync, readSync, writeSync} from 'node:fs';
import {systemReason} from '../cli/failure.js';
import {ifPossible} from '../system/if-possible.js';
import {EBUSY, systemError} from '../system/errno.js';
import {isAlive, type Process} from '../system/processes.js';
import {withFile} from '../system/untrusted-file.js';
import {findCovers} from './place/covers.js';
import {MARKER_FILE} from './place/marker.js';

/** `member`: of those who share the session; it goes on until the last of them has ended. */
type Kind = 'guest' | 'member';

export interface Register {
  /** Somebody has joined, and may have started others; or nobody can tell. */
  readonly isUsed: boolean;
  /** Of those who have joined, who lives. */
  readonly joined: readonly Process[];
}

const CLOSED = 'closed';
const ENDING = 'it is ending; start another';

/** Where whoever joins evaluates the variables itself, nobody knows its pid. */
const UNKNOWN = 'unknown';

/** @param who undefined: somebody who evaluates the session's variables. @returns why it cannot join */
export function enter(directory: string, who: Process | undefined, kind: Kind = 'guest'): string | undefined {
  const line = who === undefined ? UNKNOWN : `${kind} ${who.pid} ${who.startTime}`;
  return withRegister(directory, register => {
    if (isClosed(register)) {
      return ENDING;
    }

    add(register, line);
    // One who was stopped in the midst may find it removed.
    return entriesIn(register).includes(line) && fstatSync(register).nlink > 0 ? undefined : ENDING;
  });
}

/** From now on nobody joins, unless members are there. @returns those */
export function closeIfAlone(directory: string): readonly Process[] {
  const present = membersOf(directory);
  if (present.length > 0) {
    return present;
  }

  closeRegister(directory);
  return membersOf(directory); // One may have come between the look and the closing.
}

/** Those who share the session and live. */
export function membersOf(directory: string): readonly Process[] {
  const members = withRegister(directory, register => processesIn(entriesIn(register).filter(line => line.startsWith('member '))).filter(isAlive));
  return typeof members === 'string' ? [] : members;
}

/** From now on nobody joins. */
export function closeRegister(directory: string): Register {
  const closed = withRegister(directory, (register): Register => {
    if (!isClosed(register)) {
      ifPossible(() => add(register, CLOSED)); // Where there is no room for it, there is none for who would join.
    }

    const lines = entriesIn(register);
    return {isUsed: lines.length > 0, joined: processesIn(lines).filter(isAlive)};
  });
  // The command has removed it, perhaps with the rest of its directory.
  return typeof closed === 'string' ? {isUsed: true, joined: []} : closed;
}

function processesIn(lines: readonly string[]): Process[] {
  return lines.map(line => /^\w+ (\d+) (\d+)$/.exec(line)).filter(found => found !== null).map(([, pid, startTime]) => ({pid: Number(pid), startTime: startTime!}));
}

/** @returns what is returned; or what failed */
function withRegister<Value>(directory: string, use: (register: number) => Value): Value | string {
  const path = `${directory}/${MARKER_FILE}`;
  try {
    if ([directory, path].some(findCovers())) {
      throw systemError(EBUSY); // What is mounted there may hang.
    }

    return withFile(path, constants.O_RDWR | constants.O_APPEND, register => (isOurs(register) ? use(register) : 'its marker is none of jobbus-run; start another'));
  } catch (error) {
    return `writing into its marker: ${systemReason(error)}; start another`;
  }
}

function isClosed(register: number): boolean {
  return linesIn(register).includes(CLOSED);
}

/** The lines of those who have joined. */
function entriesIn(register: number): readonly string[] {
  const lines = linesIn(register);
  return lines.includes(CLOSED) ? lines.slice(0, lines.indexOf(CLOSED)) : lines;
}

function linesIn(register: number): readonly string[] {
  const bytes = Buffer.alloc(fstatSync(register).size);
  return bytes.toString('latin1', 0, readSync(register, bytes, 0, bytes.length, 0)).split('\n').filter(Boolean);
}

/** Begun anew: on a full disk, another may have written a part of a line. @throws what the system says */
function add(register: number, line: string): void {
  writeSync(register, `\n${line}\n`);
}

/** What the command has put in the marker's place may be anybody's, and of whatever size. */
function isOurs(register: number): boolean {
  const found = fstatSync(register);
  return found.isFile() && found.uid === process.getuid!() && found.size <= LARGEST;
}

/** Bytes: of half a million who have joined. */
const LARGEST = 16_777_216;
