/**
 * Who has joined a session from outside: a line each in its marker. Lines are only appended, and the kernel puts them in one order.
 *
 * Who joins writes its line while it is still ours, and has joined if nobody has closed the register in front of that line; who ends the session closes it
 * first. So each that has joined is known to the end, whatever it becomes, and nobody joins what is ending. There is no lock: who is stopped in the midst
 * would hold it against all others.
 */

import {closeSync, constants, fstatSync, openSync, readSync, writeSync} from 'node:fs';
import {systemReason} from '../cli/failure.js';
import {EBUSY, systemError} from '../system/errno.js';
import {isAlive, type Process} from '../system/processes.js';
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
  return withRegister(directory, ({isClosed, read, add, isThere}) => {
    if (isClosed()) {
      return ENDING;
    }

    add(line);
    // One who was stopped in the midst may find it removed.
    return read().includes(line) && isThere() ? undefined : ENDING;
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
  const members = withRegister(directory, ({read}) => processesIn(read().filter(line => line.startsWith('member '))).filter(isAlive));
  return typeof members === 'string' ? [] : members;
}

/** From now on nobody joins. */
export function closeRegister(directory: string): Register {
  const closed = withRegister(directory, ({isClosed, read, add}): Register => {
    if (!isClosed()) {
      close(add);
    }

    const lines = read();
    return {isUsed: lines.length > 0, joined: processesIn(lines).filter(isAlive)};
  });
  // The command has removed it, perhaps with the rest of its directory.
  return typeof closed === 'string' ? {isUsed: true, joined: []} : closed;
}

function close(add: (line: string) => void): void {
  try {
    add(CLOSED);
  } catch {
    // There is no room; nor is there for who would join.
  }
}

function processesIn(lines: readonly string[]): Process[] {
  return lines.map(line => /^\w+ (\d+) (\d+)$/.exec(line)).filter(found => found !== null).map(([, pid, startTime]) => ({pid: Number(pid), startTime: startTime!}));
}

/** @throws where there is none, and where a FUSE is mounted there, which may hang */
function openIn(directory: string): number {
  const register = `${directory}/${MARKER_FILE}`;
  if ([directory, register].some(findCovers())) {
    throw systemError(EBUSY);
  }

  return openSync(register, FLAGS);
}

interface OpenRegister {
  readonly isClosed: () => boolean;
  /** The lines of those who have joined. */
  readonly read: () => readonly string[];
  /** @throws what the system says */
  readonly add: (line: string) => void;
  /** Whether nobody has removed it. */
  readonly isThere: () => boolean;
}

/** @returns what is returned; or what failed */
function withRegister<Value>(directory: string, use: (register: OpenRegister) => Value): Value | string {
  let register: number | undefined;
  try {
    register = openIn(directory);
    return isOurs(register) ? use(openRegister(register)) : 'its marker is none of jobbus-run; start another';
  } catch (error) {
    return `writing into its marker: ${systemReason(error)}; start another`;
  } finally {
    if (register !== undefined) {
      closeSync(register);
    }
  }
}

function openRegister(register: number): OpenRegister {
  const lines = (): readonly string[] => {
    const bytes = Buffer.alloc(fstatSync(register).size);
    return bytes.toString('latin1', 0, readSync(register, bytes, 0, bytes.length, 0)).split('\n').filter(Boolean);
  };
  return {
    isClosed: () => lines().includes(CLOSED),
    read() {
      const all = lines();
      return all.includes(CLOSED) ? all.slice(0, all.indexOf(CLOSED)) : all;
    },
    // Begun anew: on a full disk, another may have written a part of a line.
    add: line => void writeSync(register, `\n${line}\n`),
    isThere: () => fstatSync(register).nlink > 0,
  };
}

/** A FIFO would block, a link could lead anywhere. */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What the command has put in the marker's place may be anybody's, and of whatever size. */
function isOurs(register: number): boolean {
  const found = fstatSync(register);
  return found.isFile() && found.uid === process.getuid!() && found.size <= LARGEST;
}

/** Bytes: of half a million who have joined. */
const LARGEST = 16_777_216;
