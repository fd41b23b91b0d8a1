/** Trees of other systems, for tests by root. */

import {existsSync} from 'node:fs';
import {debianTree} from '../helpers/debian.js';

export interface System {
  readonly title: string;
  /** Debian's. */
  readonly suite: string;
  readonly daemon: readonly string[];
  /** What its own tree has beside the daemon. */
  readonly extra: readonly string[];
  readonly architecture: 'x64' | 'arm64';
}

const SLURM = ['munge', 'iproute2', 'slurmctld', 'slurmd', 'slurm-client', 'slurm-wlm-basic-plugins'];
const DAEMON = ['dbus-daemon', 'dbus-bin'];

/** Newer than 9, which has no child sub-reapers. */
const EMULATOR = ['qemu-user', 'libc6-arm64-cross'];

export const DEBIAN_13: System = {title: 'Debian 13', suite: 'trixie', daemon: DAEMON, extra: [], architecture: 'x64'};

export const SYSTEMS: readonly System[] = [
  {title: 'Debian 11', suite: 'bullseye', daemon: ['dbus'], extra: SLURM, architecture: 'x64'},
  {...DEBIAN_13, extra: SLURM},
  {title: 'Debian sid', suite: 'sid', daemon: DAEMON, extra: SLURM, architecture: 'x64'},
  {...DEBIAN_13, title: 'Debian 13, arm64 by qemu-user', extra: EMULATOR, architecture: 'arm64'},
];

const PLACE = '/var/tmp/jobbus-systems';

/** Milliseconds: packages come over the network. */
export const TREE_TIME = 900_000;

/** Skipped where nothing can be made; where nothing may be missing, it fails. */
export const canMakeTrees = existsSync('/usr/sbin/debootstrap') || process.env.CI !== undefined;

/** @returns the tree's path; nobody may change anything in it */
export async function treeOf({suite, daemon, extra}: System): Promise<string> {
  const name = [suite, ...extra.slice(0, 1)].join('-');
  return debianTree({place: PLACE, name, suite, packages: [...daemon, ...extra]});
}
