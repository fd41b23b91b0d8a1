/** Whether a cluster can run on this machine, and what becomes of its tests where it cannot. */

import {existsSync} from 'node:fs';
import type {Plugin} from './configuration.js';

const INSTALL = 'apt-get install -y --no-install-recommends $(cat test/packages)';
const MOUNT = 'mkdir -p /sys/fs/cgroup/freezer && mount -t cgroup -o freezer freezer /sys/fs/cgroup/freezer';

/** One file of each package. */
const NEEDED = [
  ...['slurmctld', 'slurmd', 'munged'].map(name => `/usr/sbin/${name}`),
  ...['srun', 'dbus-daemon', 'dbus-send', 'python3', 'mpichversion'].map(name => `/usr/bin/${name}`),
];

/** @returns what is in the way, and the command that removes it */
export function obstacle(plugin: Plugin): string | undefined {
  if (process.getuid!() !== 0) {
    return `Slurm's daemons need root; the command that makes them run: sudo sh -c '${INSTALL} && npm test'`;
  }

  const missing = NEEDED.filter(file => !existsSync(file));
  if (missing.length > 0) {
    return `there is no ${missing.join(', no ')}; the command that makes them run: ${INSTALL}`;
  }

  if (plugin === 'cgroup' && !existsSync('/sys/fs/cgroup/freezer/cgroup.procs')) {
    return `there is no freezer of cgroup v1; the command that makes them run: ${MOUNT}`;
  }

  return undefined;
}
