/**
 * A Slurm cluster on this machine: munged, slurmctld and one slurmd per node, on the loopback interface only.
 *
 * All of it lives in one directory and as long as the process that made it: take-down.sh sees to that.
 */

import {spawn, type ChildProcess} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {execa} from 'execa';
import {installInto, project} from '../helpers/ground.js';
import {eventually} from '../helpers/processes.js';
import {cgroupConfiguration, containerConfiguration, slurmConfiguration} from './configuration.js';
import {freePorts} from './ports.js';
import {ordinaryUser, type User} from './user.js';

export interface Cluster {
  readonly directory: string;
  /** A copy of the project that the user can reach, wherever the project is. */
  readonly program: string;
  readonly user: User;
  readonly nodes: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** What a client of Slurm prints, asked by root. */
  readonly ask: (program: string, ...words: readonly string[]) => Promise<string>;
  /** What its daemons have logged last. */
  readonly lastWords: () => string;
  /** Ends all that belongs to the cluster, and removes it. */
  readonly stop: () => Promise<void>;
}

interface Daemon {
  readonly name: string;
  readonly process: ChildProcess;
  readonly log: string;
}

const LOG_LINES = 5;

/** Milliseconds; each question to Slurm starts a process. */
export const ASKING_INTERVAL = 150;

const START_TIME = 30_000;

/**
 * @param plugin of `proctrack/`
 * @param privateTmp each job has a /tmp of its own, in which it does not see the tests'
 */
export async function startCluster(plugin: string, nodeCount: number, privateTmp = false): Promise<Cluster> {
  const directory = mkdtempSync(join(privateTmp ? '/var/tmp' : tmpdir(), 'jobbus-slurm-'));
  // Slurm names its cgroups after the nodes, for all clusters of the machine in one place.
  const prefix = `n${randomBytes(3).toString('hex')}x`;
  const stop = watch(directory, prefix);
  try {
    const nodes = Array.from({length: nodeCount}, (_, index) => `${prefix}${index + 1}`);
    await fill(directory, plugin, nodes, privateTmp);
    const cluster = clusterIn(directory, nodes, stop);
    await startDaemons(cluster);
    return cluster;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Starts the process that takes the cluster down as soon as this one ends or asks for it. */
function watch(directory: string, prefix: string): () => Promise<void> {
  const watcher = spawn(join(project, 'test/slurm/take-down.sh'), [directory, prefix], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(watcher, 'exit');
  return async () => {
    watcher.stdin.end();
    await ended;
  };
}

async function fill(directory: string, plugin: string, nodes: readonly string[], privateTmp: boolean): Promise<void> {
  chmodSync(directory, 0o755);
  for (const name of ['log', 'munge', 'run', 'spool', 'state', 'jobs', 'containers', ...nodes.map(node => `spool/${node}`)]) {
    mkdirSync(join(directory, name));
  }

  installInto(directory);
  cpSync(join(project, 'fixtures'), join(directory, 'fixtures'), {recursive: true});

  const [controllerPort = 0, ...ports] = await freePorts(nodes.length + 1);
  const configuration = {directory, plugin, controllerPort, nodes: nodes.map((name, index) => ({name, port: ports[index]!})), privateTmp};
  writeFileSync(join(directory, 'slurm.conf'), slurmConfiguration(configuration));
  writeFileSync(join(directory, 'cgroup.conf'), cgroupConfiguration);
  writeFileSync(join(directory, 'job_container.conf'), containerConfiguration(configuration));
  writeFileSync(join(directory, 'munge/key'), randomBytes(128), {mode: 0o400});
}

function clusterIn(directory: string, nodes: readonly string[], stop: () => Promise<void>): Cluster {
  const environment = {PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', SLURM_CONF: join(directory, 'slurm.conf')};
  return {
    directory,
    program: join(directory, 'bin/jobbus-run'),
    user: ordinaryUser(),
    nodes,
    environment,
    lastWords: () => ['slurmctld', ...nodes].map(name => lastLines({name, log: join(directory, 'log', `${name}.log`)})).join('\n'),
    stop,
    ask: async (program, ...words) => (await execa(program, words, {env: environment, extendEnv: false, stdin: 'ignore'})).stdout,
  };
}

async function startDaemons(cluster: Cluster): Promise<void> {
  const {directory, environment, nodes} = cluster;
  const munge = ['key-file', 'socket', 'pid-file', 'log-file', 'seed-file'].map(name => `--${name}=${directory}/munge/${name.replace(/-file$/, '')}`);
  const configuration = environment.SLURM_CONF!;
  const daemons = [
    startDaemon(cluster, 'munged', ['munged', '--foreground', ...munge]),
    startDaemon(cluster, 'slurmctld', ['slurmctld', '-D', '-c', '-f', configuration]),
    ...nodes.map(node => startDaemon(cluster, `slurmd-${node}`, ['slurmd', '-D', '-N', node, '-f', configuration])),
  ];
  const idle = nodes.map(() => 'idle').join('\n');
  const isUp = async (): Promise<boolean> => daemons.some(hasEnded) || (await cluster.ask('sinfo', '-h', '-N', '-o', '%t').catch(() => '')) === idle;
  await eventually('all nodes to be idle', isUp, START_TIME, ASKING_INTERVAL).catch((error: unknown) => {
    throw new Error([(error as Error).message, ...daemons.map(lastLines)].join('\n'));
  });
  if (daemons.some(hasEnded)) {
    throw new Error(['Starting the cluster failed.', ...daemons.filter(hasEnded).map(lastLines)].join('\n'));
  }
}

function hasEnded({process}: Daemon): boolean {
  return process.exitCode !== null || process.signalCode !== null;
}

function startDaemon({directory, environment}: Cluster, name: string, [program = '', ...words]: readonly string[]): Daemon {
  const log = join(directory, 'log', `${name}.output`);
  const output = openSync(log, 'w');
  const process = spawn(program, words, {cwd: '/', detached: true, env: environment, stdio: ['ignore', output, output]});
  closeSync(output);
  process.once('error', () => {}); // It has not started, which its exit code tells too.
  return {name, process, log};
}

function lastLines({name, log}: Pick<Daemon, 'name' | 'log'>): string {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LOG_LINES);
  return [`The last lines of ${name}:`, ...lines].join('\n  ');
}
