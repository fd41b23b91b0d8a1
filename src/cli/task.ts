/** Which of several tasks we are: their lines end up in one file. */

import type {Environment} from './options.js';

/** The nearest first: mpirun in a Slurm job has its own ranks. */
const RANKS = [
  ['OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK'],
  ['PMI_SIZE', 'PMI_RANK'],
  ['SLURM_NTASKS', 'SLURM_PROCID'],
] as const;

/** @returns the task's number, where there are others; else undefined */
export function taskOf(environment: Environment): string | undefined {
  const [size, rank] = RANKS.find(names => names.every(name => environment[name] !== undefined)) ?? [];
  const isTask = size !== undefined && Number(environment[size]) > 1 && !(size === 'SLURM_NTASKS' && isBatchScript(environment));
  return isTask && /^\d{1,9}$/.test(environment[rank]!) ? environment[rank] : undefined;
}

/** It is told how many tasks its steps are to have. */
function isBatchScript({SLURM_JOB_ID, SLURM_STEP_ID}: Environment): boolean {
  return SLURM_JOB_ID !== undefined && SLURM_STEP_ID === undefined;
}
