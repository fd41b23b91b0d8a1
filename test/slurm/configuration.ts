/** The texts of slurm.conf and cgroup.conf. */

export const plugins = ['cgroup', 'pgid', 'linuxproc'] as const;
export type Plugin = (typeof plugins)[number];

export interface Node {
  readonly name: string;
  readonly port: number;
}

export interface Configuration {
  readonly directory: string;
  /** Of `proctrack/`. */
  readonly plugin: string;
  readonly controllerPort: number;
  readonly nodes: readonly Node[];
  /** Each job has a /tmp and a /dev/shm of its own. */
  readonly privateTmp: boolean;
}

/** Seconds between TERM and KILL, Slurm's own default. Sixteen tasks with all that is theirs need more than six on a busy machine. */
const KILL_WAIT = 30;

/** What a node claims to have; a task waits most of its time. */
const PROCESSORS = 16;

export function slurmConfiguration({directory, plugin, controllerPort, nodes, privateTmp}: Configuration): string {
  return `ClusterName=jobbus
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${controllerPort}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=${directory}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=${directory}/state
SlurmdSpoolDir=${directory}/spool/%n
SlurmctldPidFile=${directory}/run/slurmctld.pid
SlurmdPidFile=${directory}/run/slurmd-%n.pid
SlurmctldLogFile=${directory}/log/slurmctld.log
SlurmdLogFile=${directory}/log/%n.log
ProctrackType=proctrack/${plugin}
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=${directory}/log/jobs
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
DefMemPerCPU=1
SlurmdParameters=config_overrides
KillWait=${KILL_WAIT}
${privateTmp ? 'JobContainerType=job_container/tmpfs\nPrologFlags=contain' : ''}
${nodes.map(nodeLine).join('\n')}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`;
}

function nodeLine({name, port}: Node): string {
  return `NodeName=${name} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${port} CPUs=${PROCESSORS} RealMemory=1000`;
}

/** For `job_container/tmpfs`: where each node keeps the /tmp of its jobs. */
export function containerConfiguration({directory, nodes}: Pick<Configuration, 'directory' | 'nodes'>): string {
  return nodes.map(({name}) => `NodeName=${name} AutoBasePath=true BasePath=${containersOf(directory, name)}\n`).join('');
}

export function containersOf(directory: string, node: string): string {
  return `${directory}/containers/${node}`;
}

export const cgroupConfiguration = `CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=no
ConstrainDevices=no
`;
