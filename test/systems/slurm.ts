/** On a cluster of one node, with the system's own Slurm. */

import type {Case, Topic} from './cases.js';

/** How a cluster follows the processes of a step. */
interface Tracking {
  readonly title: string;
  /** Of `proctrack/`. */
  readonly plugin: string;
  /** What cgroup.conf has, where Slurm is new enough for more than one kind. */
  readonly cgroups: string;
  /** Shell lines that arrange the mounts. */
  readonly mounts: string;
  /** Words that start slurmd. */
  readonly slurmd: string;
}

const WITHOUT_CGROUPS = {cgroups: 'CgroupPlugin=disabled', mounts: '', slurmd: 'slurmd -c'};

export const LINUXPROC: Tracking = {title: 'proctrack/linuxproc', plugin: 'linuxproc', ...WITHOUT_CGROUPS};
export const PGID: Tracking = {title: 'proctrack/pgid', plugin: 'pgid', ...WITHOUT_CGROUPS};

export const CGROUP_V1: Tracking = {
  title: 'proctrack/cgroup, v1',
  plugin: 'cgroup',
  cgroups: 'CgroupPlugin=cgroup/v1',
  mounts: 'mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/freezer; mount -t cgroup -o freezer none /sys/fs/cgroup/freezer',
  slurmd: 'slurmd -c',
};

/** A machine that has v1 too says so in /proc/PID/cgroup, where Slurm looks for its place, and refuses: what it reads there has the line for v2 alone. */
export const CGROUP_V2: Tracking = {
  title: 'proctrack/cgroup, v2',
  plugin: 'cgroup',
  cgroups: 'CgroupPlugin=cgroup/v2\nIgnoreSystemd=yes',
  mounts: `mount -t cgroup2 none /sys/fs/cgroup
  mkdir /sys/fs/cgroup/others; echo 0 >/sys/fs/cgroup/others/cgroup.procs # slurmd moves what is in the root, and fails if it has ended meanwhile.
  echo 0::/ >/run/first; echo 0::/system.slice/node1_slurmstepd.scope/system >/run/step
  mount --bind /run/first /proc/1/cgroup
  cat >/run/slurmd <<'END'
#!/bin/sh
mount --bind /run/first /proc/$$/cgroup
exec slurmd -D -c -d /run/slurmstepd
END
  cat >/run/slurmstepd <<'END'
#!/bin/sh
mount --bind /run/step /proc/$$/cgroup
exec /usr/sbin/slurmstepd "$@"
END
  chmod +x /run/slurmd /run/slurmstepd`,
  slurmd: 'setsid /run/slurmd >/tmp/slurm/d.out 2>&1 &',
};

/** @param more lines of slurm.conf */
function cluster({plugin, cgroups, mounts, slurmd}: Tracking, more = ''): string {
  return `
  ip link set lo up; ip address add 192.0.2.1/32 dev lo; echo '192.0.2.1 node1' >/etc/hosts # Slurm does not look for names where there is 127.0.0.1 alone.
  mkdir -p /run/munge /tmp/slurm/ctld /tmp/slurm/d; chown munge: /run/munge
  [ -s /etc/munge/munge.key ] || { head -c 1024 /dev/urandom >/etc/munge/munge.key; chmod 400 /etc/munge/munge.key; chown munge: /etc/munge/munge.key; }
  setpriv --reuid munge --regid munge --init-groups munged
  cat >/etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=node1
SlurmUser=root
ProctrackType=proctrack/${plugin}
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
StateSaveLocation=/tmp/slurm/ctld
SlurmdSpoolDir=/tmp/slurm/d
SlurmctldPidFile=/tmp/slurm/ctld.pid
SlurmdPidFile=/tmp/slurm/d.pid
SlurmctldLogFile=/tmp/slurm/ctld.log
SlurmdLogFile=/tmp/slurm/d.log
${more}
NodeName=node1 CPUs=2
PartitionName=all Nodes=ALL Default=YES
END
  slurm_is() { dpkg --compare-versions "$(dpkg-query --show --showformat '\${Version}' slurmd)" "$@"; }
  if slurm_is lt 22; then echo CgroupAutomount=no; else echo '${cgroups}'; fi >/etc/slurm/cgroup.conf
  ${mounts}
  slurmctld -c; ${slurmd}
  for i in $(seq 200); do [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break; sleep 0.1; done; sinfo -h -o %t | grep -qx idle || { cat /tmp/slurm/d.out /tmp/slurm/*.log; exit 9; }
  run() { srun "$@" 2>/dev/null; }
  job() { squeue -h -o %i; }`;
}

const PACKAGES = ['munge', 'iproute2', 'slurmctld', 'slurmd', 'slurm-client', 'slurm-wlm-basic-plugins'];
const VERSION = "dpkg-query --show --showformat '${Version}' slurmd | sed 's/.*really//; s/-.*//'";

const STATUS: Case = {
  name: 'exit status',
  lines: "run jobbus-run -- sh -c 'ask; echo; basename $XDG_RUNTIME_DIR; exit 7'; echo $?; left",
  prints: /(^|\n) *[0-9a-f]{32}\n\d+-\w+\n7\nnothing left$/,
};

const CANCEL: Case = {
  name: 'scancel',
  lines: 'run jobbus-run -- saves >/tmp/out & ready /tmp/out; scancel $(job); wait $!; cat /tmp/out; left',
  prints: /^ready\nTERM\nsaved\nnothing left$/m,
};

/** Where Slurm kills everything at once, what is left goes with the next run. */
const NEXT_RUN = 'run jobbus-run -- sleep 1; left';

const CASES: readonly Case[] = [
  STATUS,
  CANCEL,
  {
    name: 'scancel -s USR1',
    lines: 'run jobbus-run -- saves >/tmp/out & ready /tmp/out; scancel -s USR1 $(job); until grep -q USR1 /tmp/out; do sleep 0.1; done; scancel $(job); wait $!; cat /tmp/out; left',
    prints: /^ready\nUSR1\nTERM\nsaved\nnothing left$/m,
  },
  {
    name: 'a batch script',
    lines: `printf '#!/bin/sh\\nexec jobbus-run -- saves\\n' >/tmp/batch; sbatch -o /tmp/out /tmp/batch >/dev/null; ready /tmp/out; scancel $(job); until [ -z "$(job)" ]; do sleep 0.1; done; cat /tmp/out; left`,
    prints: /ready\n(.*CANCELLED.*\n)?TERM\nsaved\nnothing left$/,
  },
  {
    name: 'kill -9',
    lines: `run jobbus-run -- sh -c 'echo $SLURM_TASK_PID; echo ready; exec sleep 600' >/tmp/out & ready /tmp/out; kill -9 $(head -1 /tmp/out); wait $!; echo $?; ${NEXT_RUN}`,
    prints: /(^|\n)137\nnothing left$/,
  },
  {
    name: '--share, 4 tasks',
    lines: `run -n 4 --overcommit jobbus-run --share -- sh -c 'ask; echo; exec saves' >/tmp/out & ready /tmp/out 4; scancel $(job); wait $!; sort /tmp/out | uniq -c; ${NEXT_RUN}`,
    prints: /^ +4 +[0-9a-f]{32}\n +4 TERM\n +4 ready\n +4 saved\nnothing left$/m,
  },
];

/** Slurm looks every 30 seconds: one kind of tracking is enough. */
const TIME_LIMIT: Case = {
  name: 'time limit',
  lines: 'run jobbus-run -- saves >/tmp/out & ready /tmp/out; scontrol update JobId=$(job) EndTime=now+1; wait $!; cat /tmp/out; left',
  prints: /^ready\n(TERM\n){1,2}saved\nnothing left$/m,
};

export function slurm(tracking: Tracking): Topic {
  return {title: `Slurm, ${tracking.title}`, packages: PACKAGES, version: VERSION, before: cluster(tracking), cases: tracking === CGROUP_V1 ? [...CASES, TIME_LIMIT] : CASES};
}

/**
 * A /tmp and a /dev/shm for each job. Slurm keeps the job's mount namespace by a mount, which the kernel refuses when that namespace has a lower number than
 * the one it is in. Linux 6.18 numbers them by processor: all of Slurm's come from one.
 */
export function privateTmp(plugin: string): Topic {
  const kind = plugin.startsWith('job_container') ? 'JobContainerType' : 'NamespaceType';
  const before = `
  mkdir /var/tmp/jobs
  echo 'BasePath=/var/tmp/jobs AutoBasePath=true' >/etc/slurm/job_container.conf
  ${cluster({...LINUXPROC, slurmd: 'taskset -c 0 unshare --mount slurmd -c'}, `${kind}=${plugin}\nPrologFlags=contain`)}`;
  return {
    title: `Slurm, ${plugin}`,
    packages: PACKAGES,
    version: VERSION,
    before,
    cases: [
      STATUS,
      {
        ...CANCEL,
        lines: "run jobbus-run -- sh -c 'echo $XDG_RUNTIME_DIR; exec saves' >/var/tmp/out & ready /var/tmp/out; scancel $(job); wait $!; sed 's:/[^/]*$::' /var/tmp/out; left; until [ -z \"$(ls -A /var/tmp/jobs/node1)\" ]; do sleep 0.1; done; echo no /tmp left",
        prints: /^\/dev\/shm\/\S+\nready\nTERM\nsaved\nnothing left\nno \/tmp left$/m,
      },
    ],
  };
}

const WORLD = `cat >/tmp/world.py <<'END'
from mpi4py import MPI
world = MPI.COMM_WORLD
print('of', world.size, 'sum', world.allreduce(world.rank), MPI.Get_library_version().split(',')[0], flush=True)
END`;

const ONE_WORLD = /^ +4 of 4 sum 6 Open MPI v5\.\S+\nnothing left$/m;

const WORLD_WORDS = 'python3 /tmp/world.py >/tmp/out; sort /tmp/out | uniq -c; left';

/** One world of all tasks, each with a session or all with one. */
export const OPEN_MPI: Topic = {
  title: 'Open MPI under Slurm, by pmix',
  packages: [...PACKAGES, 'python3-mpi4py', 'openmpi-bin'],
  version: "ompi_info --version | sed -n '1s/.* v//p'",
  before: [cluster(PGID), WORLD].join('\n'),
  cases: [
    {name: 'srun --mpi=pmix', lines: `srun --mpi=pmix -n 4 --overcommit jobbus-run -- ${WORLD_WORDS}`, prints: ONE_WORLD},
    {name: 'srun --mpi=pmix, --share', lines: `srun --mpi=pmix -n 4 --overcommit jobbus-run --share -- ${WORLD_WORDS}`, prints: ONE_WORLD},
    {
      name: 'mpirun in a batch script',
      lines: `export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  printf '#!/bin/sh\\nexec jobbus-run -- mpirun -n 4 --oversubscribe python3 /tmp/world.py\\n' >/tmp/batch; sbatch --wait -o /tmp/out /tmp/batch >/dev/null; sort /tmp/out | uniq -c; left`,
      prints: ONE_WORLD,
    },
  ],
};
