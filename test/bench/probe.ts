/** What the probe of a place takes of a launch: the same sources, bundled with it and without it. */

import {cpSync, readFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {build, type Plugin} from 'esbuild';
import {median, milliseconds, startTime, type Row} from './measure.js';
import {directory, project, ROUNDS} from './place.js';

/** A difference of two milliseconds among eighty needs more rounds than a ratio. */
const PAIRS = 4 * ROUNDS;

export async function probe(): Promise<Row> {
  const [whole, without] = [await bundled('with', []), await bundled('without', [leaveOut])];
  const differences: number[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const [first, second] = pair % 2 === 0 ? [whole, without] : [without, whole];
    const [one, other] = [await startTime([first, 'echo']), await startTime([second, 'echo'])];
    differences.push(pair % 2 === 0 ? one - other : other - one);
  }

  const time = median(differences);
  return {measure: 'the probe of the place: a start with it, less one without it', value: milliseconds(time), goal: '≤ 2 ms', numbers: {milliseconds: time}};
}

/** @returns the launcher */
async function bundled(name: string, plugins: Plugin[]): Promise<string> {
  const place = join(directory, name);
  await build({
    entryPoints: [join(project, 'src/main.ts')],
    outfile: join(place, 'dist/jobbus-run.cjs'),
    bundle: true,
    platform: 'node',
    minify: true,
    loader: {'.sh': 'text'},
    define: {VERSION: '""'},
    external: ['./*.cjs'],
    plugins,
  });
  cpSync(join(project, 'bin'), join(place, 'bin'), {recursive: true});
  return join(place, 'bin/jobbus-run');
}

/** The look at the base, and the connection to the bus. */
const PROBE: Readonly<Record<string, {readonly part: RegExp; readonly instead: string}>> = {
  'candidates.ts': {part: /^function examine\([^]*?^}$/m, instead: 'function examine(base, origin) { return {base, origin}; }'},
  'sockets.ts': {part: /^export async function connectProblem\([^]*?^}$/m, instead: 'export async function connectProblem() {}'},
};

const leaveOut: Plugin = {
  name: 'leave-out',
  setup({onLoad}) {
    onLoad({filter: /\/src\/(candidates|sockets)\.ts$/}, ({path}) => {
      const {part, instead} = PROBE[basename(path)]!;
      const source = readFileSync(path, 'utf8');
      if (!part.test(source)) {
        throw new Error(`${path} has no ${part.source}`);
      }

      return {contents: source.replace(part, instead), loader: 'ts'};
    });
  },
};
