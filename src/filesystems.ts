/** Local or network: by the type that statfs(2) reports, see linux/magic.h and the file systems' own sources. */

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
  // A server in user space may be anywhere, as with sshfs.
  0x65735546: 'FUSE',
};

/** @param type as statfs reports it @returns the file system's name where other hosts may share it */
export function networkFileSystem(type: number): string | undefined {
  return NETWORK_TYPES[type >>> 0];
}
