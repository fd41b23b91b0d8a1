/** Jobs of other schedulers than Slurm, on one node, with the system's own. */

import type {Case, Topic} from './cases.js';

/** A host name that is not the loopback's, and an ordinary user; `someone` runs words as that. */
const NODE = `
  ip link set lo up; ip address add 192.0.2.1/32 dev lo; printf '127.0.0.1 localhost\\n192.0.2.1 node1\\n' >/etc/hosts
  useradd --create-home --shell /bin/bash someone
  as() { setpriv --reuid someone --regid someone --init-groups env HOME=/home/someone USER=someone LOGNAME=someone "$@"; }
  cd /home/someone
  until_gone() { while [ -n "$(jobs_there)" ]; do sleep 0.2; done; }`;

/** What a job says that TERM has reached once. */
const SAVED: Case['prints'] = /(^|\n)ready\nTERM\nsaved\nnothing left$/;

const CONDOR_JOB = `
  cat >/etc/condor/config.d/99-one <<END
use ROLE: Personal
CONDOR_HOST = 192.0.2.1
NETWORK_INTERFACE = 192.0.2.1
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
UPDATE_INTERVAL = 5
STARTD_NOCLAIM_SHUTDOWN = 0
END
  mkdir -p /run/lock/condor /run/condor; chown condor: /run/lock/condor /run/condor
  condor_master
  until [ -n "$(condor_status -af Name 2>/dev/null)" ]; do sleep 0.2; done
  jobs_there() { condor_q -allusers -af ClusterId; }
  submit() {
    printf '#!/bin/sh\\n%s\\n' "$1" >/usr/local/bin/work; chmod +x /usr/local/bin/work
    printf '%s\\n' executable=/opt/jobbus-run/bin/jobbus-run 'arguments="-- work"' transfer_executable=false should_transfer_files=NO \\
      initialdir=/home/someone output=out error=err log=log 'environment="PATH=/usr/local/bin:/usr/bin:/bin"' queue >job
    as condor_submit -terse job >/dev/null
  }`;

export const HTCONDOR: Topic = {
  title: 'HTCondor',
  packages: ['condor', 'iproute2', 'procps'],
  version: "condor_version | sed -n '1s/^[^0-9]*\\([0-9.]*\\).*/\\1/p'",
  before: [NODE, CONDOR_JOB].join('\n'),
  cases: [
    {
      name: 'exit status',
      lines: `submit 'ask; echo; basename "$XDG_RUNTIME_DIR"; exit 7'; until_gone; cat out; grep -o 'return value [0-9]*' log; left`,
      prints: /^ *[0-9a-f]{32}\ndir_\d+-\w+\nreturn value 7\nnothing left$/,
    },
    {name: 'condor_rm', lines: "submit 'exec saves'; ready out; condor_rm -all >/dev/null; until_gone; cat out; left", prints: SAVED},
    {name: 'condor_hold', lines: "submit 'exec saves'; ready out; condor_hold -all >/dev/null; until grep -q saved out; do sleep 0.1; done; cat out; left", prints: SAVED},
  ],
};

const GRID_ENGINE_JOB = `
  export SGE_ROOT=/var/lib/gridengine SGE_CELL=default
  mkdir /srv/made
  sge_qmaster; until qconf -sh >/dev/null 2>&1; do sleep 0.1; done
  {
    qconf -as node1
    echo hostname node1 >/srv/made/host; printf '%s NONE\\n' load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling report_variables >>/srv/made/host
    qconf -Ae /srv/made/host
    qconf -sq | sed 's/^qname .*/qname all.q/; s/^hostlist .*/hostlist node1/; s/^\\(load_thresholds\\|pe_list\\) .*/\\1 NONE/; s/^notify .*/notify 0:0:5/' >/srv/made/queue
    qconf -Aq /srv/made/queue
    qconf -ssconf | sed 's/^schedule_interval .*/schedule_interval 0:0:1/; s/^flush_\\(.*\\)_sec .*/flush_\\1_sec 1/' >/srv/made/scheduler
    qconf -Msconf /srv/made/scheduler
  } >/dev/null 2>&1
  sge_execd
  jobs_there() { qstat -u someone; }
  submit() {
    printf '#!/bin/sh\\n%s\\n' "$1" >/usr/local/bin/work; chmod +x /usr/local/bin/work; shift
    as qsub -cwd -o out -e err -v PATH=/usr/local/bin:/usr/bin:/bin "$@" -b yes -shell no jobbus-run -- work >/dev/null 2>&1
  }`;

/** Its `qdel` kills at once; what is left goes with the next run. */
export const GRID_ENGINE: Topic = {
  title: 'Grid Engine',
  packages: ['gridengine-master', 'gridengine-exec', 'gridengine-client', 'iproute2'],
  version: "dpkg-query --show --showformat '${Version}' gridengine-exec | sed 's/+.*//'",
  before: [NODE, GRID_ENGINE_JOB].join('\n'),
  cases: [
    {name: 'exit status', lines: `submit 'ask; echo; basename "$XDG_RUNTIME_DIR"; exit 7' -sync yes; echo $?; cat out; left`, prints: /^7\n *[0-9a-f]{32}\n1-\w+\nnothing left$/},
    {name: 'qdel', lines: "submit 'exec saves'; ready out; as qdel 1 >/dev/null; until_gone; cat out; as jobbus-run -- true; left", prints: /^ready\nnothing left$/},
  ],
};
