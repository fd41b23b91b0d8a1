/** By what those who share a session know each other. */

import {CryptoHasher} from 'bun';
import {quote} from '../cli/failure.js';
import {GRID_ENGINE} from './job.js';
import {whereabouts} from './record.js';

export interface ShareKey {
  /** Digits and letters: no two keys have the same, whatever they are made of. */
  readonly digest: string;
  /** For people. */
  readonly text: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that name a job, and those that name what of it runs here; the first scheduler whose job is named counts. */
const SCHEDULERS: ReadonlyArray<{readonly job: readonly [string, ...string[]]; readonly step: readonly string[]; readonly company?: string}> = [
  {job: ['SLURM_JOB_ID', 'SLURM_CLUSTER_NAME'], step: ['SLURM_STEP_ID']},
  {job: ['PBS_JOBID'], step: []},
  {job: ['LSB_JOBID', 'LSB_JOBINDEX'], step: []},
  {job: ['FLUX_JOB_ID', 'FLUX_URI'], step: []},
  {job: [GRID_ENGINE.job, 'SGE_TASK_ID', 'SGE_CELL'], step: [], company: GRID_ENGINE.company},
];

const LONGEST_TEXT = 200;

/** What one version makes of a key, another must not take for its own. */
const FORMAT = 1;

/**
 * The job and its step, or the job and a name. Only who sees the same processes and the same network on the same boot shares: a pid is to mean the same
 * to all, and a bus without a path to be within reach.
 *
 * @param name empty: the step's
 * @returns undefined where there is neither a job nor a name
 */
export function shareKey(name: string, environment: Environment): ShareKey | undefined {
  const names = Object.keys(environment);
  const scheduler = SCHEDULERS.find(({job: [id], company}) => environment[id] && (company === undefined || names.some(each => each.startsWith(company))));
  if (scheduler === undefined && name === '') {
    return undefined;
  }

  const variables = scheduler === undefined ? [] : [...scheduler.job, ...(name === '' ? scheduler.step : [])];
  const values = variables.flatMap(variable => (environment[variable] === undefined ? [] : [`${variable}=${environment[variable]}`]));
  const {boot, networkNamespace, pidNamespace, timeNamespace} = whereabouts();
  const parts = [FORMAT, process.getuid!(), boot, networkNamespace, pidNamespace, timeNamespace ?? '', values, name];
  const text = [...values, ...(name === '' ? [] : [quote(name)])].join(' ').slice(0, LONGEST_TEXT);
  return {digest: new CryptoHasher('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32), text};
}
