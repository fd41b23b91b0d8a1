/**
 * Local or network: by the type that statfs(2) reports, see linux/magic.h and the file systems' own sources, and by the
 * type in /proc/self/mountinfo, which tells one FUSE from another and knows file systems whose number we do not.
 */

import {statfsSync} from 'node:fs';
import {mountUnder} from './mounts.js';

/** Those of most bases: nobody needs to read the table of mounts, which may be long, to know them. */
const LOCAL_TYPES = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0xf2f52010, // F2FS
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlay
]);

const NETWORK_TYPES: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB 2',
  0x517b: 'SMB',
  0x5346414f: 'AFS',
  0x6b414653: 'AFS',
  0x73757245: 'Coda',
  0x00c36400: 'Ceph',
  0x0bd00bd0: 'Lustre',
  0x47504653: 'GPFS',
  0x19830326: 'BeeGFS',
  0xaad7aaea: 'PanFS',
  0x20030528: 'OrangeFS',
  0x01161970: 'GFS2',
  0x7461636f: 'OCFS2',
  0x01021997: '9P',
};

const FUSE = 0x65735546;

/** A server in user space may be anywhere, as with sshfs, or mirror a network file system: local are a disk's, and the root of a container. */
const LOCAL_FUSE = /^(fuseblk|fuse\.fuse-overlayfs)$/;

/** By their names in mountinfo, where the number of statfs is not one of the above. */
const NETWORK_MOUNTS = /^(nfs4?|cifs|smb3|smbfs|afs|auristorfs|coda|ceph|lustre|gpfs|mmfs|beegfs|panfs|pvfs2|orangefs|gfs2?|ocfs2|9p|dvs|wekafs|scoutfs|quobyte|vastnfs)$/;

/**
 * @param type as statfs reports it
 * @param mountType as mountinfo has it; undefined where nobody knows
 * @returns the file system's name where other hosts may share it
 */
export function networkFileSystem(type: number, mountType: string | undefined): string | undefined {
  if (type >>> 0 === FUSE) {
    return LOCAL_FUSE.test(mountType ?? '') ? undefined : mountType?.replace(/^fuse$/, 'FUSE') ?? 'FUSE';
  }

  return NETWORK_TYPES[type >>> 0] ?? (NETWORK_MOUNTS.test(mountType ?? '') ? mountType : undefined);
}

/** {@link networkFileSystem} of the directory. */
export function networkFileSystemOf(directory: string): string | undefined {
  const {type} = statfsSync(directory);
  return LOCAL_TYPES.has(type >>> 0) ? undefined : networkFileSystem(type, mountUnder(directory)?.type);
}

/** Who serves the directory, where that is a user's own program: FUSE, which says of its files whatever it likes. Undefined: the kernel does. */
export function serverOf(directory: string): number | undefined {
  return statfsSync(directory).type >>> 0 === FUSE ? mountUnder(directory)?.owner : undefined;
}
