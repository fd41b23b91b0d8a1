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

/** A queue of its own, whatever the load. */
const GRID_ENGINE_JOB = `
  export SGE_ROOT=/var/lib/gridengine SGE_CELL=default
  administrator() { setpriv --reuid sgeadmin --regid sgeadmin --clear-groups "$@" >/dev/null 2>&1; }
  administrator /usr/share/gridengine/scripts/init_cluster $SGE_ROOT $SGE_CELL /var/spool/gridengine/spooldb sgeadmin
  sge_qmaster
  until administrator qconf -as node1; do sleep 0.2; done
  administrator qconf -ah node1; administrator qconf -am root
  sge_execd
  until qconf -sel 2>/dev/null | grep -q node1; do sleep 0.2; done
  cat >/usr/local/bin/edits <<'END'
#!/bin/sh
sed -i -E 's/^(pe_list|hostlist|shell|slots|notify|load_thresholds) .*//' $1
printf '%s\\n' 'pe_list NONE' 'hostlist node1' 'shell /bin/bash' 'slots 2' 'notify 0:0:10' 'load_thresholds NONE' >>$1
END
  chmod +x /usr/local/bin/edits
  EDITOR=/usr/local/bin/edits qconf -aq main.q >/dev/null
  jobs_there() { qstat -u '*'; }
  submit() { printf '#!/bin/bash\\n%s\\n' "$1" >work; shift; as qsub -terse -S /bin/bash -o /home/someone/out -j yes -cwd -v PATH "$@" work >/dev/null; }
  ends_at_qdel() { ready out; qdel -u someone >/dev/null; until_gone; cat out; }`;

export const GRID_ENGINE: Topic = {
  title: 'Grid Engine',
  packages: ['gridengine-master', 'gridengine-exec', 'gridengine-client', 'msmtp-mta', 'iproute2', 'procps'],
  version: "dpkg-query --show --showformat '${Version}' gridengine-master | sed 's/[+-].*//'",
  before: [NODE, GRID_ENGINE_JOB].join('\n'),
  cases: [
    {
      name: 'exit status',
      lines: `submit 'exec jobbus-run -- sh -c "ask; echo; basename \\$XDG_RUNTIME_DIR; exit 7"'; until_gone; cat out; until qacct -j 1 2>/dev/null | grep exit_status; do sleep 0.5; done; left`,
      prints: /^ *[0-9a-f]{32}\n1-\w+\nexit_status +7 *\nnothing left$/,
    },
    {
      name: 'qdel, where the queue says TERM',
      lines: "qconf -mattr queue terminate_method SIGTERM main.q >/dev/null; submit 'exec jobbus-run -- saves'; ends_at_qdel; left",
      prints: SAVED,
    },
    {name: 'qdel, qsub -notify', lines: "submit 'exec jobbus-run --map-signal USR2:TERM -- saves' -notify; ends_at_qdel; left", prints: SAVED},
    {name: 'qdel', lines: "submit 'exec jobbus-run -- saves'; ends_at_qdel; as jobbus-run -- sleep 1; left", prints: /^ready\nnothing left$/},
  ],
};
