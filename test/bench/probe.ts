/** What the probe of a place takes of a launch: the same sources, built with it and without it. */

import {join} from 'node:path';
import {buildAltered, type Replacement} from '../helpers/engine.js';
import {median, milliseconds, startTime, type Row} from './measure.js';
import {directory, ROUNDS} from './place.js';

/** A small difference needs more rounds than a ratio. */
const PAIRS = 4 * ROUNDS;

/** The look at the base, and the connection to the bus. */
const PROBE: readonly Replacement[] = [
  {
    file: 'session/place/candidates.ts',
    part: /^async function examine\([^]*?^}$/m,
    instead: 'async function examine(base, origin) { return {base, parent: parentIn(base), origin, problem: undefined, network: undefined, abstract: false}; }',
  },
  {file: 'session/place/sockets.ts', part: /^export function connectProblem\([^]*?^}$/m, instead: 'export function connectProblem() {}'},
];

export async function probe(): Promise<Row> {
  const [whole, without] = [buildAltered(join(directory, 'with'), []), buildAltered(join(directory, 'without'), PROBE)];
  const differences: number[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const [first, second] = pair % 2 === 0 ? [whole, without] : [without, whole];
    const [one, other] = [await startTime([first, 'echo']), await startTime([second, 'echo'])];
    differences.push(pair % 2 === 0 ? one - other : other - one);
  }

  const time = median(differences);
  return {measure: 'the probe of the place: a start with it, less one without it', value: milliseconds(time), goal: '≤ 2 ms', numbers: {milliseconds: time}};
}
