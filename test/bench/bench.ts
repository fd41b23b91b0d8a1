/** `npm run bench`: what jobbus-run costs, beside bare Node and its peers. Prints a table, and writes bench.json; or says what failed. */

import {rmSync, writeFileSync} from 'node:fs';
import {cpus} from 'node:os';
import {launches, differences, together} from './launches.js';
import {counter, need, type Row} from './measure.js';
import {neighbours} from './neighbours.js';
import {isRoot, prepare, ROUNDS} from './place.js';
import {probe} from './probe.js';
import {sharing} from './sharing.js';
import {endings, forwarding, idling, keys, memory, roundTrips} from './running.js';

const RESULT = 'bench.json';

/** Not a line before all is measured: half a table would look like one. */
async function bench(): Promise<void> {
  rmSync(RESULT, {force: true});
  ['dbus-daemon', 'dbus-run-session', 'dbus-send', 'dbus-test-tool', 'tini', 'date', 'tail', 'ps'].forEach(need);
  prepare();
  const user = isRoot ? 'root, for whom every process is its own' : `user ${process.getuid!()}`;
  const conditions = `Node ${process.version}, ${cpus().length} processors, as ${user}; CPU by ${counter.name}; medians of ${ROUNDS} rounds in turn`;
  const rows: Row[] = [
    ...await launches(), await probe(), ...await together([64, 256]), ...await sharing(), ...await memory(), await idling(), ...await forwarding(), await keys(), ...await endings(), roundTrips(), ...await neighbours(),
    ...await differences(),
  ];
  const width = Math.max(...rows.map(({measure}) => measure.length));
  console.log(conditions);
  for (const {measure, value, goal} of rows) {
    console.log(`${measure.padEnd(width)}  ${value}${goal === undefined ? '' : `  [${goal}]`}`);
  }

  writeFileSync(RESULT, `${JSON.stringify({conditions, rows}, undefined, 2)}\n`);
}

try {
  await bench();
} catch (error) {
  console.error(`The bench has failed, and prints no number: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
