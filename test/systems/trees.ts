/** Trees of other systems, for tests by root. */

import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {debianTree} from '../helpers/debian.js';
import {PLAIN, type Topic} from './cases.js';
import {APPTAINER, BUBBLEWRAP, CHARLIECLOUD, PODMAN_5} from './containers.js';
import {GRID_ENGINE, HTCONDOR} from './schedulers.js';
import {CGROUP_V1, CGROUP_V2, LINUXPROC, OPEN_MPI, PGID, privateTmp, slurm} from './slurm.js';
import {suite, WITHOUT_ON_DEBIAN_11} from './suite.js';

export interface System {
  readonly title: string;
  /** Debian's. */
  readonly suite: string;
  /** Packages, of Debian. */
  readonly daemon: readonly string[];
  /** More packages, of no topic's. */
  readonly more?: readonly string[];
  readonly topics: readonly Topic[];
  readonly architecture: 'x64' | 'arm64';
}

const DAEMON = ['dbus-daemon', 'dbus-bin'];

/** Newer than 9, which has no child sub-reapers. */
const EMULATOR = ['qemu-user', 'libc6-arm64-cross'];

export const DEBIAN_13: System = {title: 'Debian 13', suite: 'trixie', daemon: DAEMON, topics: [PLAIN], architecture: 'x64'};

export const SYSTEMS: readonly System[] = [
  {title: 'Debian 11', suite: 'bullseye', daemon: ['dbus'], topics: [PLAIN, suite(WITHOUT_ON_DEBIAN_11), ...[LINUXPROC, PGID, CGROUP_V1].map(slurm)], architecture: 'x64'},
  {
    ...DEBIAN_13,
    topics: [PLAIN, suite(), ...[LINUXPROC, PGID, CGROUP_V1, CGROUP_V2].map(slurm), privateTmp('job_container/tmpfs'), OPEN_MPI, BUBBLEWRAP, CHARLIECLOUD, PODMAN_5, GRID_ENGINE],
  },
  {
    title: 'Debian sid',
    suite: 'sid',
    daemon: DAEMON,
    topics: [PLAIN, suite(), ...[LINUXPROC, PGID, CGROUP_V1, CGROUP_V2].map(slurm), privateTmp('namespace/tmpfs'), APPTAINER, HTCONDOR],
    architecture: 'x64',
  },
  {...DEBIAN_13, title: 'Debian 13, arm64 by qemu-user', more: EMULATOR, topics: [PLAIN], architecture: 'arm64'},
];

const PLACE = '/var/tmp/jobbus-systems';

/** Milliseconds: packages come over the network. */
export const TREE_TIME = 900_000;

/** Skipped where nothing can be made; where nothing may be missing, it fails. */
export const canMakeTrees = existsSync('/usr/sbin/debootstrap') || process.env.CI !== undefined;

/** @returns the tree's path; nobody may change anything in it */
export async function treeOf({suite, daemon, more: others = [], topics}: System): Promise<string> {
  const more = [...new Set([...topics.flatMap(topic => topic.packages), ...others])];
  const digest = createHash('sha256').update([...daemon, ...more].join()).digest('hex').slice(0, 8);
  return debianTree({place: PLACE, name: `${suite}-${digest}`, suite, packages: daemon, more});
}
