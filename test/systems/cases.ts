/** What is to work on every system: shell lines there, and what they print. */

export interface Case {
  readonly name: string;
  readonly lines: string;
  readonly prints: RegExp;
  /** Whether it becomes another user, which nobody can in the namespace of an emulator. */
  readonly becomesUser?: boolean;
}

const J = '/opt/jobbus-run/bin/jobbus-run';
const ASK = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

/** No process but the shell's own, and nothing of a session. */
const LEFT = `left() { ls -A /tmp /dev/shm | grep jobbus; readlink /proc/[0-9]*/exe | grep -E '/(sleep|jobbus-run|supervisor|dbus-daemon|qemu-aarch64)$'; }
  until [ -z "$(left)" ]; do sleep 0.1; done; echo nothing left`;

export const CASES: readonly Case[] = [
  {name: 'neither Node nor compiler', lines: 'command -v node nodejs cc gcc; echo none', prints: /^none$/},
  {name: '--version', lines: `${J} --version`, prints: /^jobbus-run \d+\.\d+\.\d+\S*$/},
  {name: '--doctor', lines: `${J} --doctor`, prints: /ok trial run[^]*\nAll is well\.$/},
  {name: 'a bus answers', lines: `${J} -- ${ASK}; ${LEFT}`, prints: /^ *[0-9a-f]{32}nothing left$/},
  {name: 'exit status', lines: `${J} -- sh -c 'exit 7'; echo $?; ${J} -- /nowhere 2>/dev/null; echo $?`, prints: /^7\n127$/},
  {name: 'death by signal', lines: `${J} -- sh -c 'kill -KILL $$'; echo $?`, prints: /^137$/},
  {
    name: 'TERM, once',
    lines: `: >/tmp/out; ${J} -- bash -c 'trap "echo term" TERM; echo ready; sleep 601 & wait; kill $!; exit 3' >/tmp/out & until grep -q ready /tmp/out; do sleep 0.02; done
      kill $!; wait $!; echo $?; cat /tmp/out; ${LEFT}`,
    prints: /^3\nready\nterm\nnothing left$/,
  },
  {
    name: 'kill -9',
    lines: `: >/tmp/out; ${J} -- sh -c 'sleep 602 & setsid sleep 603 & echo ready; exec sleep 604' >/tmp/out & until grep -q ready /tmp/out; do sleep 0.02; done
      kill -9 $!; wait $! 2>/dev/null; echo $?; ${LEFT}`,
    prints: /137\nnothing left$/,
  },
  {name: 'a session for a shell', lines: `bash -c 'eval "$(${J} --sh-syntax)" && ${ASK}; sleep 605 & exit 5'; echo $?; ${LEFT}`, prints: /^ *[0-9a-f]{32}5\nnothing left$/},
  {name: 'an ordinary user', becomesUser: true, lines: `setpriv --reuid 65534 --regid 65534 --clear-groups ${J} -- ${ASK}; ${LEFT}`, prints: /^ *[0-9a-f]{32}nothing left$/},
  {name: 'user 0 of a user namespace', lines: `unshare --user --map-root-user ${J} -- ${ASK}; ${LEFT}`, prints: /^ *[0-9a-f]{32}nothing left$/},
];

/** A cluster of one node, with the system's own Slurm. */
const CLUSTER = `
  ip link set lo up; ip address add 192.0.2.1/32 dev lo; echo '192.0.2.1 node1' >/etc/hosts # Slurm does not look for names where there is 127.0.0.1 alone.
  mkdir -p /run/munge /tmp/slurm/ctld /tmp/slurm/d; chown munge: /run/munge
  [ -s /etc/munge/munge.key ] || { head -c 1024 /dev/urandom >/etc/munge/munge.key; chmod 400 /etc/munge/munge.key; chown munge: /etc/munge/munge.key; }
  setpriv --reuid munge --regid munge --init-groups munged
  cat >/etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=node1
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
StateSaveLocation=/tmp/slurm/ctld
SlurmdSpoolDir=/tmp/slurm/d
SlurmctldPidFile=/tmp/slurm/ctld.pid
SlurmdPidFile=/tmp/slurm/d.pid
SlurmctldLogFile=/tmp/slurm/ctld.log
SlurmdLogFile=/tmp/slurm/d.log
NodeName=node1 CPUs=2
PartitionName=all Nodes=ALL Default=YES
END
  dpkg --compare-versions "$(dpkg-query --show --showformat '\${Version}' slurmd)" lt 22 || echo CgroupPlugin=disabled >/etc/slurm/cgroup.conf
  slurmctld -c && slurmd -c || { cat /tmp/slurm/*.log; exit 9; }
  for i in $(seq 100); do [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break; sleep 0.1; done; sinfo -h -o %t | grep -qx idle || { cat /tmp/slurm/*.log; exit 9; }`;

export const SLURM_CASES: readonly Case[] = [
  {name: 'srun: exit status', lines: `${CLUSTER}; srun ${J} -- sh -c '${ASK}; echo; basename $XDG_RUNTIME_DIR; exit 7' 2>/dev/null; echo $?; ${LEFT}`, prints: /(^|\n) *[0-9a-f]{32}\n\d+-\w+\n7\nnothing left$/},
  {
    name: 'srun: scancel',
    lines: `: >/tmp/out; ${CLUSTER}; srun ${J} -- bash -c 'trap "echo term" TERM; echo ready; sleep 606 & wait; kill $!; exit 3' >/tmp/out 2>/dev/null & until grep -q ready /tmp/out; do sleep 0.1; done
      scancel $(squeue -h -o %i); wait $!; cat /tmp/out; ${LEFT}`,
    prints: /ready\nterm\nnothing left$/,
  },
];
