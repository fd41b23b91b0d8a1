/** What a reader gets: the pages, their headings, links, code and commands. */

import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {project} from './ground.js';

/** A fenced block of code. */
export interface Block {
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** What the comment before it says: why it is not run. */
  readonly notRun: string | undefined;
}

export interface Page {
  /** Below the project. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly blocks: readonly Block[];
  /** As a browser shows them behind `#`. */
  readonly anchors: ReadonlySet<string>;
  /** Where links lead. */
  readonly links: readonly string[];
  /** All that is shown as code. */
  readonly code: readonly string[];
}

export function readPages(): readonly Page[] {
  const docs = readdirSync(join(project, 'docs')).filter(name => name.endsWith('.md')).map(name => `docs/${name}`);
  return ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md', ...docs].map(readPage);
}

/** The fenced blocks of one page. */
export function blocksOf(path: string): readonly Block[] {
  return readPage(path).blocks;
}

const FENCE = /^```(\w*)$/;
const NOT_RUN = /^<!-- not run: (\S.*) -->$/;

function readPage(path: string): Page {
  const lines = readFileSync(join(project, path), 'utf8').trimEnd().split('\n');
  const {blocks, prose} = divide(lines);
  const text = prose.join('\n');
  return {
    path, lines, blocks, anchors: anchorsOf(prose), links: all(text.replace(CODE, ''), /\]\(([^)\s]+)\)/g),
    code: [...blocks.map(block => block.text), ...all(text, CODE)],
  };
}

const CODE = /`+([^`\n]+)`+/g;

function divide(lines: readonly string[]): {readonly blocks: readonly Block[]; readonly prose: readonly string[]} {
  const fences = lines.flatMap((line, index) => (line.startsWith('```') ? [index] : []));
  const blocks = fences.flatMap((begin, index) => (index % 2 === 0 ? [blockAt(lines, begin, fences[index + 1]!)] : []));
  const isProse = (index: number): boolean => fences.filter(fence => fence <= index).length % 2 === 0 && !fences.includes(index);
  return {blocks, prose: lines.filter((_, index) => isProse(index))};
}

function blockAt(lines: readonly string[], begin: number, end: number): Block {
  return {
    line: begin + 1, language: FENCE.exec(lines[begin]!)![1]!, text: lines.slice(begin + 1, end).join('\n'),
    notRun: NOT_RUN.exec(lines[begin - 1] ?? '')?.[1],
  };
}

/** As GitHub and others make them of headings. */
function anchorsOf(prose: readonly string[]): ReadonlySet<string> {
  const headings = prose.flatMap(line => /^#+ (.+)$/.exec(line)?.[1] ?? []);
  return new Set(headings.map(heading => heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-')));
}

function all(text: string, pattern: RegExp): readonly string[] {
  return Array.from(text.matchAll(pattern), match => match[1]!);
}

/** What `--help` and pages call options. */
export function optionsIn(text: string): readonly string[] {
  return all(text, /(?<![\w-])(--[a-z][a-z-]*[a-z])/g);
}
