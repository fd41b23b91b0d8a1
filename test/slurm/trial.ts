/** A trial: jobs of the ordinary user, with a wrapper around the command or without, and what became of them. */

import {chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {sessionsIn} from '../helpers/jobbus.js';
import {eventually, processesWith} from '../helpers/processes.js';
import {ASKING_INTERVAL, type Cluster} from './cluster.js';

export interface Trial {
  readonly name: string;
  readonly directory: string;
  readonly nodes: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Puts before a command what is tried. */
  readonly wrap: (...words: readonly string[]) => readonly string[];
  /** The command that notes what happens to it, for so many seconds, wrapped. */
  readonly command: (seconds: number, status: number) => readonly string[];
  readonly srun: (words: readonly string[], environment?: Readonly<Record<string, string>>) => Promise<Ended>;
  /** Submits a script that becomes the command. @param name of the job */
  readonly sbatch: (command: readonly string[], name?: string) => Promise<void>;
  /** Submits a script as it is, with more options and variables of sbatch. */
  readonly submit: (script: string, options?: readonly string[], environment?: Readonly<Record<string, string>>) => Promise<void>;
  /** Starts srun with pipes, for the test to talk to. @param before what runs srun */
  readonly start: (words: readonly string[], before?: readonly string[]) => Started;
  readonly tasks: () => readonly Task[];
  /** Waits until so many tasks are there. */
  readonly ready: (count: number) => Promise<readonly Task[]>;
  /** Waits for a job's end. @returns its state and exit code in Slurm's records */
  readonly record: (name?: string) => Promise<string>;
  /** Processes and session directories. */
  readonly leftovers: () => readonly string[];
  /** KILLs what is still there. */
  readonly clear: () => void;
}

export interface Ended {
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly pid: number;
  readonly type: (keys: string) => void;
  readonly ended: Promise<Ended>;
}

/** What fixtures/slurm-job has noted. */
export interface Task {
  readonly job: string;
  /** What Slurm has started: jobbus-run, if it is wrapped. */
  readonly pid: number;
  /** Of its bus. */
  readonly address: string;
  readonly signals: readonly string[];
  readonly buses: readonly string[];
}

const READY_TIME = 40_000;
const RECORD_TIME = 60_000;

/** A step that lingers in COMPLETING does so for a minute and more. */
const COMPLETION_TIME = 40_000;

/** @param wrapper around each command @param base of the sessions, where it is not the trial's own directory */
export function makeTrial(cluster: Cluster, name: string, nodes: readonly string[], wrapper: readonly string[], base?: string): Trial {
  const directory = join(cluster.directory, 'jobs', name);
  mkdirSync(directory, {mode: 0o700});
  chownSync(directory, cluster.user.uid, cluster.user.gid);
  const identity = `${process.pid}-${name}`;
  const mark = `JOBBUS_TEST_MARK=${identity}`;
  const environment = {...cluster.environment, HOME: directory, USER: cluster.user.name, JOBBUS_RUNTIME_BASE: base ?? directory, JOBBUS_TEST_MARK: identity};
  const allocation = (jobName: string): string[] => [`--job-name=${jobName}`, `--nodelist=${nodes.join(',')}`, `--nodes=${nodes.length}`];
  const {uid, gid} = cluster.user;
  const bases = [base ?? directory, ...nodes.map(node => join(directory, node))];
  const options = {cwd: directory, extendEnv: false, reject: false, uid, gid} as const;
  const asUser = async (program: string, words: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const {exitCode, stdout, stderr} = await execa(program, words, {...options, env: {...environment, ...more}, stdin: 'ignore'});
    return {status: exitCode, stdout, stderr};
  };
  const submit = async (script: string, words: readonly string[], more: Readonly<Record<string, string>> = {}, jobName = name): Promise<void> => {
    const path = join(directory, `${jobName}.sh`);
    writeFileSync(path, script);
    const {status, stderr} = await asUser('sbatch', [...allocation(jobName), '--output=output', ...words, path], more);
    if (status !== 0) {
      throw new Error(`sbatch failed: ${stderr}`);
    }
  };
  const wrap = (...words: readonly string[]): readonly string[] => [...wrapper, ...words];
  const tasks = (): readonly Task[] => tasksIn(directory);
  return {
    name,
    directory,
    nodes,
    environment,
    wrap,
    command: (seconds, status) => wrap(join(cluster.directory, 'fixtures/slurm-job'), directory, String(seconds), String(status)),
    srun: async (words, more) => asUser('srun', [...allocation(name), ...words], more),
    sbatch: async (command, jobName) => submit(`#!/bin/sh\nexec ${command.join(' ')}\n`, [], {}, jobName),
    submit: async (script, words = [], more) => submit(script, words, more),
    start(words, before = []) {
      const [program = '', ...rest] = [...before, 'srun', ...allocation(name), ...words];
      const running = execa(program, rest, {...options, env: environment});
      const ended = running.then(({exitCode, stdout, stderr}) => ({status: exitCode, stdout, stderr}));
      return {pid: running.pid!, type: keys => void running.stdin.write(keys), ended};
    },
    tasks,
    ready: async count => eventually(`${count} tasks to be ready`, () => tasks().length === count && tasks(), READY_TIME),
    record: async (jobName = name) => recordOf(cluster, jobName),
    leftovers: () => [...processesWith(mark).map(({pid, words}) => `${pid} ${words.join(' ')}`), ...bases.flatMap(sessionsIn).filter(path => path.includes(`/jobbus-${uid}`))],
    clear() {
      for (const {pid} of processesWith(mark)) {
        process.kill(pid, 'SIGKILL');
      }
    },
  };
}

function tasksIn(directory: string): readonly Task[] {
  const logs = readdirSync(directory).filter(name => /^\d+\.log$/.test(name));
  return logs.map(name => parseTask(readFileSync(join(directory, name), 'utf8'))).filter(task => task !== undefined);
}

/** @returns undefined when it is not ready yet */
function parseTask(log: string): Task | undefined {
  const lines = log.split('\n').slice(0, -1).map(line => line.split(/\s+/));
  const [, job, pid, address = ''] = lines.find(([kind]) => kind === 'ready') ?? [];
  if (job === undefined) {
    return undefined;
  }

  const notes = (wanted: string): string[] => lines.filter(([kind]) => kind === wanted).map(([, note = '']) => note);
  return {job, pid: Number(pid), address, signals: notes('signal'), buses: notes('bus')};
}

async function recordOf(cluster: Cluster, jobName: string): Promise<string> {
  const pattern = new RegExp(` Name=${jobName} JobState=(\\w+) .* ExitCode=(\\d+:\\d+) `);
  const books = join(cluster.directory, 'log/jobs');
  const find = (): RegExpExecArray | false => existsSync(books) && (pattern.exec(readFileSync(books, 'utf8')) ?? false);
  const record = await eventually(`a record of the end of ${jobName}`, find, RECORD_TIME, ASKING_INTERVAL);
  let listed = '';
  await eventually(() => `${jobName} to be complete; it was ${listed}, and the daemons said\n${cluster.lastWords()}`, async () => {
    listed = await cluster.ask('squeue', '-h', '-n', jobName, '-o', '%i %T %N %r');
    return listed === '';
  }, COMPLETION_TIME, ASKING_INTERVAL);
  return record.slice(1).join(' ');
}
