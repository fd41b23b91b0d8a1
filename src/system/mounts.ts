/**
 * Mounts, as /proc/self/mountinfo has them.
 *
 * Nothing else tells a bind mount of the same file system from a plain directory: device numbers are equal, and
 * `rm --one-file-system` deletes through it.
 */

import {constants, openSync, readFileSync} from 'node:fs';
import {closeDirectory, O_PATH, openDirectory} from './open-directory.js';
import {readText} from './processes.js';

export interface Mount {
  /** Its number, as /proc/PID/fdinfo gives it too. */
  readonly id: string;
  /** The path on which it is mounted. */
  readonly point: string;
  /** The file system's, by its name. */
  readonly type: string;
  /** Who has mounted it, where it is a FUSE. */
  readonly owner: number | undefined;
}

/** In the order in which they were mounted. */
export function allMounts(): readonly Mount[] {
  return parseMounts(readTable());
}

function readTable(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}

/**
 * @param mountinfo as of proc(5): field 5 is the mount point, with blanks and backslashes in octal; behind the dash come the type, the source and the
 * options, of which FUSE's always have the user's number
 */
export function parseMounts(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').filter(Boolean).map(line => {
    const [id = '', , , , point = ''] = line.split(' ');
    const unescaped = point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const [type = '', , options = ''] = line.split(' - ')[1]?.split(' ') ?? [];
    const owner = /(?:^|,)user_id=(\d+)/.exec(options)?.[1];
    return {id, point: unescaped, type, owner: owner === undefined ? undefined : Number(owner)};
  });
}

/** Any user may mount one, on what is his; and whoever looks at it waits for its server, for ever if that does not answer. */
export function isFuse({type}: Pick<Mount, 'type'>): boolean {
  return /^fuse(?!ctl)/.test(type);
}

/** The mount that an open file is on: unlike the device, it tells a bind mount from its source. */
export function mountOf(descriptor: number): string | undefined {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
}

/** The mount that a directory is on; undefined where mountinfo does not tell. */
export function mountUnder(directory: string): Mount | undefined {
  const mount = mountAt(() => openSync(directory, O_PATH | constants.O_DIRECTORY));
  return allMounts().find(({id}) => id === mount);
}

/**
 * Whether a FUSE is mounted on the directory. Without a look at it, and without one at the table of mounts, which may be long, unless something
 * is mounted there.
 *
 * @param base in which it is
 * @throws where it is no directory, a link to one included
 */
export function hasFuseOn(base: string, directory: string): boolean {
  const mount = mountAt(() => openDirectory(directory));
  return mount !== mountAt(() => openSync(base, O_PATH)) && allMounts().some(({id, type}) => id === mount && isFuse({type}));
}

function mountAt(open: () => number): string | undefined {
  const handle = open();
  const mount = mountOf(handle);
  closeDirectory(handle);
  return mount;
}

/** Those at or below the directory, the outermost first. */
export function mountsBelow(directory: string): readonly Mount[] {
  return allMounts().filter(({point}) => isBelow(point, directory)).sort((one, other) => one.point.length - other.point.length);
}

/** Whether a look at the path may have to wait for the server of a FUSE, by the path as it is written. */
export function mayHang(path: string): boolean {
  const table = readTable();
  // A launch asks: most nodes need no closer look.
  return table.includes(' - fuse') && parseMounts(table).some(mount => isFuse(mount) && mount.point !== '/' && isBelow(path, mount.point));
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Whether /proc may not show us processes of our own. */
export function hidesProcesses(): boolean {
  return /^(?:\S+ ){4}\/proc .*\bhidepid=[^0o]/m.test(readText('/proc/self/mountinfo') ?? '');
}
