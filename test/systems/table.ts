/** All cases on all systems, as a table. Names of systems, or parts of them, choose some. */

import {releasedArchive} from '../helpers/archive.js';
import {CASES, SLURM_CASES} from './cases.js';
import {inSystem} from './enter.js';
import {SYSTEMS, treeOf, type System} from './trees.js';

const VERSIONS = `dbus-daemon --version | sed -n '1s/.* //p'; ldd --version | sed -n '1s/.* //p'; (dpkg-query --show --showformat '\${Version}' slurmctld 2>/dev/null || printf %s -) | sed 's/\\(.\\)-.*/\\1/'; echo`;

const wanted = process.argv.slice(2);
const chosen = SYSTEMS.filter(({title}) => wanted.length === 0 || wanted.some(word => title.includes(word)));

const rows: string[][] = [];
for (const system of chosen) {
  rows.push(await rowOf(system));
}

print([['system', 'dbus-daemon', 'glibc', 'Slurm', 'cases', 'result'], ...rows]);

async function rowOf(system: System): Promise<string[]> {
  const [tree, program] = [await treeOf(system), (await releasedArchive(system.architecture)).tree];
  const run = async (lines: string): ReturnType<typeof inSystem> => inSystem(system, tree, program, lines);
  const versions = (await run(VERSIONS)).output.split('\n');
  const cases = [...CASES, ...(system.extra.includes('slurmd') ? SLURM_CASES : [])].filter(({becomesUser}) => becomesUser !== true || system.architecture === 'x64');
  const failed: string[] = [];
  for (const each of cases) {
    const {output} = await run(each.lines);
    if (!each.prints.test(output)) {
      failed.push(each.name);
      console.error(`${system.title}: ${each.name}: ${output}`);
      process.exitCode = 1;
    }
  }

  return [system.title, ...versions, String(cases.length), failed.length === 0 ? 'all pass' : `fail: ${failed.join(', ')}`];
}

/** In Markdown. */
function print([head = [], ...others]: readonly string[][]): void {
  const lines = [head, head.map(() => '---'), ...others];
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]!.length)));
  console.log(lines.map(line => `| ${line.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`).join('\n'));
}
