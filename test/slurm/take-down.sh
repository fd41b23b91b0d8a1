#!/bin/sh
# Takes a cluster down when the test that made it has ended, however it ended: DIRECTORY NODE-PREFIX
#
# Standard input is a pipe that only the test's process holds. All that belongs to the cluster names its configuration in the
# environment, or (slurmstepd, which overwrites its own) has a file of the cluster open.
directory=$1
prefix=$2
cat >/dev/null

members() {
  {
    grep -lzsxF "SLURM_CONF=$directory/slurm.conf" /proc/[0-9]*/environ
    find /proc/[0-9]*/fd -lname "$directory/*" 2>/dev/null
  } | cut -d / -f 3 | sort -u
}

freezers() {
  find "/sys/fs/cgroup/freezer/slurm_$prefix"* "$@" 2>/dev/null
}

# slurmstepd freezes what it kills; one that dies in between leaves it frozen, and deaf to KILL.
thaw() {
  freezers -name freezer.state | while read -r state; do echo THAWED >"$state"; done
}

attempts=0
while [ "$attempts" -lt 200 ] && left=$(members) && [ "$left$(freezers -type d)" ]; do
  # shellcheck disable=SC2086 # a list of pids
  kill -KILL $left 2>/dev/null
  thaw
  freezers -depth -type d -exec rmdir {} ';'
  attempts=$((attempts + 1))
  sleep 0.05
done
# What job_container/tmpfs has mounted for the jobs of a node, the last first.
awk -v directory="$directory/" 'index($2, directory) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mounted; do umount -l "$mounted"; done
rm -rf "$directory"
