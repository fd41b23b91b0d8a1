/**
 * FUSEs on what a sweep looks at: parents of sessions, sessions, records. Any user may have mounted one on what is his, and its
 * server may hang, and hold up whoever looks. So they are told by the table of mounts, and detached first.
 */

import {realpathSync} from 'node:fs';
import {basename, dirname, isParentName} from './directory.js';
import {ifPossible} from '../../system/if-possible.js';
import {detach} from '../../system/detaching.js';
import {allMounts, isFuse} from '../../system/mounts.js';

/**
 * @returns tells whether a FUSE is mounted on a path, without a look at it; on the path of the directory it is in, there must be none
 */
export function findCovers(): (path: string) => boolean {
  const points = new Set(coveredPaths());
  return path => points.size > 0 && points.has(withoutLinks(path));
}

/**
 * Nobody needs one there, and what it covers nobody sees. Where it cannot be detached, it stays. Nor is another's touched: who has mounted it may put
 * a link in its place, which umount(8), run by root, would follow.
 */
export async function uncoverParents(bases: readonly string[]): Promise<void> {
  for (const parent of coveredParents(bases)) {
    await detach(parent);
  }
}

/** The parents of sessions in these bases on which a FUSE is mounted. */
export function coveredParents(bases: readonly string[]): string[] {
  const paths = coveredPaths(process.getuid!()).filter(path => isParentName(basename(path)));
  // One look at the table mostly is all.
  const directories = new Set(paths.length === 0 ? [] : bases.map(base => withoutLinks(`${base}/parent`)).map(dirname));
  return paths.filter(path => directories.has(dirname(path)));
}

/** @param by the user who has mounted what covers them; undefined: whoever it was */
function coveredPaths(by?: number): string[] {
  return allMounts().filter(mount => isFuse(mount) && (by === undefined || mount.owner === by)).map(({point}) => point).filter(point => point.split('/').some(isParentName));
}

/** As the table of mounts has it. */
export function withoutLinks(path: string): string {
  const parent = ifPossible(() => realpathSync.native(dirname(path)));
  return parent === undefined ? path : `${parent.replace(/^\/$/, '')}/${basename(path)}`;
}
