/** Batch scripts, in the forms in which people write them. */

import {assertSaved, atMostOnce, cancel, LONG, sameAsBare, SAVED, type Procedure, type SlurmCase} from './checks.js';
import type {Ended, Trial} from './trial.js';

export const scriptCases: readonly SlurmCase[] = [
  {
    name: 'a plain line in a batch script',
    run: async (t, site) => sameAsBare(t, site, {...plainLine, ...(site.plugin === 'pgid' ? {compared: atMostOnce} : {})}),
  },
  {
    name: '#!/usr/bin/env -S jobbus-run bash',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: asInterpreter, act: cancel}),
  },
  {
    name: 'nested: jobbus-run around the batch script, and around its step',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: nested, act: cancel}),
  },
  {
    name: 'srun in a batch script',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withStep(step => [step]), act: cancel}),
  },
  {
    name: 'srun in a batch script, with lines after it',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withStep(step => ['trap : TERM', step, 'status=$?', 'exit $status']), act: cancel}),
  },
  {
    name: 'srun in the background of a batch script',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withStep(step => [`${step} &`, ...WAIT]), act: cancel}),
  },
  {
    name: 'sbatch --export=NONE',
    run: async (t, site) => sameAsBare(t, site, {tasks: 1, start: withoutEnvironment, act: cancel}),
  },
  {
    name: 'srun --export=NONE',
    async run(t, {wrapped}) {
      const {status, stderr} = await wrapped.srun(['--export=NONE', ...marked(wrapped), ...wrapped.command(0, SAVED)]);
      t.is(status, SAVED, stderr);
      return assertSaved(t, wrapped, 1);
    },
  },
];

/** The script's shell dies of TERM, and Slurm kills what is left of the script, or forgets it. */
const plainLine: Procedure = {
  tasks: 1,
  start: async trial => submitted(trial, `#!/bin/sh\n${line(trial)}\nexit $?\n`),
  act: cancel,
  killedAtOnce: true,
};

async function asInterpreter(trial: Trial): Promise<Partial<Ended>> {
  const [interpreter] = trial.wrap('bash');
  const first = interpreter === 'bash' ? '/bin/bash' : '/usr/bin/env -S jobbus-run bash';
  const PATH = `${interpreter!.replace(/\/[^/]*$/, '')}:${process.env.PATH}`;
  return submitted(trial, `#!${first}\nexec ${trial.command(LONG, SAVED).slice(-4).join(' ')}\n`, {PATH});
}

/** A script that leaves its TERM to the step, as Slurm means it. */
async function nested(trial: Trial): Promise<Partial<Ended>> {
  const inner = `trap : TERM; srun ${line(trial)}; exit $?`;
  return submitted(trial, `#!/bin/sh\nexec ${trial.wrap('bash', '-c', `'${inner}'`).join(' ')}\n`);
}

/** As docs/slurm.md has it: `wait` returns when the trap runs, too. */
const WAIT = ['step=$!', 'trap : TERM', 'while wait "$step"; status=$?; kill -0 "$step" 2>/dev/null; do :; done', 'exit "$status"'];

function withStep(lines: (step: string) => readonly string[]) {
  return async (trial: Trial): Promise<Partial<Ended>> => submitted(trial, `#!/bin/bash\n${lines(`srun ${line(trial)}`).join('\n')}\n`);
}

async function withoutEnvironment(trial: Trial): Promise<Partial<Ended>> {
  return submitted(trial, `#!/bin/sh\nexec ${marked(trial).join(' ')} ${line(trial)}\n`, {}, ['--export=NONE']);
}

/** What this test knows its processes and their place by. */
function marked(trial: Trial): readonly string[] {
  return ['/usr/bin/env', ...Object.entries(trial.environment).filter(([name]) => name.startsWith('JOBBUS_')).map(entry => entry.join('='))];
}

function line(trial: Trial): string {
  return trial.command(LONG, SAVED).join(' ');
}

async function submitted(trial: Trial, script: string, environment = {}, options: readonly string[] = []): Promise<Partial<Ended>> {
  await trial.submit(script, options, environment);
  await trial.record();
  return {};
}
