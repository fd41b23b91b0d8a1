/** Where a job's output and its keys come from and go to. */

import type {ExecutionContext} from 'ava';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {assertNothingLeft, LONG, sameAsBare, SAVED, type Procedure, type Site, type SlurmCase} from './checks.js';
import {heard} from './signal-cases.js';
import type {Trial} from './trial.js';

export const streamCases: readonly SlurmCase[] = [
  {
    name: 'stdout to a pipe and to a file',
    run: outputs,
  },
  {
    name: 'srun --pty, Ctrl-C and Ctrl-Z',
    run: async (t, site) => sameAsBare(t, site, atTerminal(site)),
  },
];

/** Milliseconds; a step whose output something still holds lingers for a minute. */
const LINGERING = 30_000;

/** Leaves a child, a process of its own session and a service, that all hold its output. */
async function outputs(t: ExecutionContext, {cluster, wrapped}: Site): Promise<string> {
  const leaving = wrapped.wrap(join(cluster.directory, 'fixtures/leaves-all'), String(SAVED));
  const services = withEchoService(wrapped);
  const inTime = async <Value>(what: string, end: Promise<Value>): Promise<Value> => Promise.race([end, failLate(what)]);

  const toPipe = await inTime('srun', wrapped.srun(leaving, services));
  t.deepEqual([toPipe.status, toPipe.stdout], [SAVED, 'ready']);
  const toReader = await inTime('a reader in the step', wrapped.srun(['sh', '-c', `${leaving.join(' ')} | cat`], services));
  t.deepEqual([toReader.status, toReader.stdout], [0, 'ready']);
  const toFile = await inTime('srun with a file', wrapped.srun(['--output=step-output', ...leaving], services));
  t.is(toFile.status, SAVED);
  await wrapped.submit(`#!/bin/sh\nexec ${leaving.join(' ')}\n`, [], services);
  await wrapped.record();
  for (const name of ['step-output', 'output']) {
    t.is(readFileSync(join(wrapped.directory, name), 'utf8'), 'ready\n', name);
  }

  await assertNothingLeft(t, wrapped);
  return 'the reader sees the end at once';
}

function withEchoService({directory}: Trial): Record<string, string> {
  const services = join(directory, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  const name = 'org.example.Echo';
  writeFileSync(join(services, `${name}.service`), `[D-BUS Service]\nName=${name}\nExec=/usr/bin/dbus-test-tool echo --name=${name}\n`);
  return {XDG_DATA_DIRS: join(directory, 'share')};
}

async function failLate(what: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(`Waited ${LINGERING} ms in vain for the end of ${what}`)), LINGERING).unref();
  });
}

/** The keys go to srun's terminal, from there to the task's, and there they become signals to its process group. */
function atTerminal({cluster}: Site): Procedure {
  const typing = new Map<Trial, (keys: string) => void>();
  return {
    tasks: 1,
    async start(trial) {
      const {type, ended} = trial.start(['--pty', ...trial.command(LONG, SAVED)], [join(cluster.directory, 'fixtures/in-terminal')]);
      typing.set(trial, type);
      const {status} = await ended;
      return {status};
    },
    async act(_cluster, trial, {job}) {
      typing.get(trial)!('\u0003');
      await heard(trial, 'SIGINT');
      typing.get(trial)!('\u001a');
      await heard(trial, 'SIGTSTP');
      return cluster.ask('scancel', job);
    },
  };
}
