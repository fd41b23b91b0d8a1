/** All cases on all systems, as a table. Names of systems, or parts of them, choose some; behind a colon, so do those of topics. */

import {releasedArchive} from '../helpers/archive.js';
import {scriptOf, type Case, type Topic} from './cases.js';
import {inSystem} from './enter.js';
import {SYSTEMS, treeOf, type System} from './trees.js';

const wanted = process.argv.slice(2).map(word => word.split(':'));

function isChosen({title}: System, topic: Topic): boolean {
  return wanted.length === 0 || wanted.some(([system = '', name = '']) => title.includes(system) && topic.title.includes(name));
}

const rows: string[][] = [];
for (const system of SYSTEMS) {
  const topics = system.topics.filter(topic => isChosen(system, topic));
  rows.push(...(topics.length === 0 ? [] : await rowsOf(system, topics)));
}

print([['system', 'what', 'version', 'cases', 'result'], ...rows]);

async function rowsOf(system: System, topics: readonly Topic[]): Promise<string[][]> {
  const [tree, program] = [await treeOf(system), (await releasedArchive(system.architecture)).tree];
  const found: string[][] = [];
  for (const topic of topics) {
    found.push(await rowOf(system, topic, async script => inSystem(system, topic, tree, program, script)));
  }

  return found;
}

async function rowOf(system: System, topic: Topic, run: (script: string) => Promise<string>): Promise<string[]> {
  const version = await run(scriptOf({lines: topic.version}, {before: ''}));
  const cases = topic.cases.filter(({becomesUser}) => becomesUser !== true || system.architecture === 'x64');
  const failed: string[] = [];
  for (const each of cases) {
    if (!(await passes(system, topic, each, run))) {
      failed.push(each.name);
    }
  }

  return [system.title, topic.title, version, String(cases.length), failed.length === 0 ? 'all pass' : `fail: ${failed.join(', ')}`];
}

async function passes({title}: System, topic: Topic, {name, lines, prints}: Case, run: (script: string) => Promise<string>): Promise<boolean> {
  const start = Date.now();
  const output = await run(scriptOf({lines}, topic));
  const passed = prints.test(output);
  console.error(`${title}: ${topic.title}: ${name}: ${passed ? 'passes' : `FAILS: ${output}`} (${Date.now() - start} ms)`);
  process.exitCode = passed ? process.exitCode : 1;
  return passed;
}

/** In Markdown. */
function print([head = [], ...others]: readonly string[][]): void {
  const lines = [head, head.map(() => '---'), ...others];
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]!.length)));
  console.log(lines.map(line => `| ${line.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`).join('\n'));
}
