/** A session for several: by what they know each other, and what its first does for the others. */

import {CryptoHasher} from 'bun';
import {quote} from '../cli/failure.js';
import {explain} from '../cli/log.js';
import type {SessionOptions} from '../cli/options.js';
import {endOf} from '../system/pidfd.js';
import {GRID_ENGINE} from './job.js';
import type {Environment} from './place/candidates.js';
import {whereabouts} from './record.js';
import {closeIfAlone} from './register.js';
import type {Rendezvous} from './rendezvous.js';

interface ShareKey {
  /** Digits and letters: no two keys have the same, whatever they are made of. */
  readonly digest: string;
  /** For people. */
  readonly text: string;
}

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

export interface Share {
  /** For people. */
  readonly key: string;
  /** Locked, until there is a session. */
  readonly rendezvous: Rendezvous;
}

/** What those who share a session should agree in. */
export function sharedWords({dbusDaemon, configFile, services, keyring}: Pick<SessionOptions, 'dbusDaemon' | 'configFile' | 'services' | 'keyring'>): string {
  const words = [
    dbusDaemon && `--dbus-daemon ${dbusDaemon}`,
    configFile && `--config-file ${configFile}`,
    !services && '--no-services',
    keyring && (keyring.file === undefined ? '--keyring' : `--keyring=${keyring.file}`),
  ];
  return words.filter(Boolean).join(' ') || 'no options';
}

/**
 * Waits until the last member has ended. Then nobody joins any more.
 *
 * @param stop ends the waiting
 * @returns whether nobody is left
 */
export async function awaitMembers(directory: string, stop = new Promise<unknown>(() => {})): Promise<boolean> {
  const stopped = stop.then(() => true);
  for (let members = closeIfAlone(directory); members.length > 0; members = closeIfAlone(directory)) {
    explain(`${directory} has ${members.length} other${members.length === 1 ? '' : 's'}: ${members.map(({pid}) => pid).join(', ')}`);
    for (const member of members) {
      if (await Promise.race([stopped, endOf(member).then(() => false)])) {
        return false;
      }
    }
  }

  return true;
}
