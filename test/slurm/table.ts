/** Runs the cases under the three plugins, side by side, and prints what came of them as a table, and two beside what else there is. */

import {spawnSync} from 'node:child_process';
import {plugins, type Plugin} from './configuration.js';
import {loadMeasurements, loadRows, removeRows, type Measurements, type Row} from './rows.js';

removeRows();
const files = plugins.map(plugin => `build/test/slurm/${plugin}.test.js`);
const {status} = spawnSync('npx', ['ava', '--concurrency', String(plugins.length), ...files], {stdio: 'inherit'});
const columns = plugins.map((plugin): readonly [Plugin, readonly Row[]] => [plugin, loadRows(plugin)]);
const names = [...new Set(columns.flatMap(([, rows]) => rows.map(({name}) => name)))];
print(['', ...plugins], names.map(name => [name, ...columns.map(([, rows]) => cell(rows.find(row => row.name === name)))]));
for (const [of, what, status] of [['wrappers', 'wrapper', 'status of `srun`'], ['scripts', 'first line', 'state of the job']] as const) {
  console.log();
  const rows = plugins.flatMap(plugin => measured(plugin, loadMeasurements(plugin, of))).sort(([one = ''], [other = '']) => one.localeCompare(other));
  print(['event', '`proctrack/`', what, 'signals that reach the command', status, 'left'], rows);
}

process.exitCode = status ?? 1;

function cell(row: Row | undefined): string {
  return row === undefined ? 'not run' : `${row.verdict}${row.counted && `: ${row.counted}`}`;
}

function measured(plugin: Plugin, measurements: Measurements): string[][] {
  return Object.entries(measurements).flatMap(([wrapper, all]) => all.map(({event, signals, status, left}) => [event, plugin, wrapper, signals, String(status), left]));
}

/** In Markdown. */
function print(head: readonly string[], rows: ReadonlyArray<readonly string[]>): void {
  const lines = [head, head.map(() => '---'), ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]!.length)));
  console.log(lines.map(line => `| ${line.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`).join('\n'));
}
