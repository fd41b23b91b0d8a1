/** The folders are floors: imports go down, in no circle, and only one file knows the C library. */

import {readdirSync, readFileSync} from 'node:fs';
import {dirname, join, normalize} from 'node:path';
import test from 'ava';
import {project} from './helpers/ground.js';

/** Those below which each stands; what `cli` has, the words for people, is for all. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  main: ['run', 'shell', 'upkeep', 'session', 'system', 'cli'],
  run: ['session', 'system', 'cli'],
  shell: ['session', 'system', 'cli'],
  upkeep: ['session', 'system', 'cli'],
  session: ['system', 'cli'],
  system: ['cli'],
  cli: ['system'],
};

const LONGEST_FILE = 250;

const sources = readdirSync(join(project, 'src'), {recursive: true, encoding: 'utf8'}).filter(path => path.endsWith('.ts') && !path.endsWith('.d.ts'));

const texts = new Map(sources.map(path => [path, readFileSync(join(project, 'src', path), 'utf8')]));

function importsOf(path: string): string[] {
  return Array.from(texts.get(path)!.matchAll(/ from '(\.[^']+)\.js'/g), ([, target]) => normalize(join(dirname(path), `${target!}.ts`)));
}

function floorOf(path: string): string {
  return path.includes('/') ? path.split('/')[0]! : 'main';
}

test('imports go down', t => {
  t.true(sources.length > 50);
  const wrong = sources.flatMap(path => importsOf(path).filter(target => floorOf(target) !== floorOf(path) && !BELOW[floorOf(path)]!.includes(floorOf(target))).map(target => `${path} → ${target}`));
  t.deepEqual(wrong, []);
});

test('there is no circle of imports', t => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) {
      circles.push([...way.slice(way.indexOf(path)), path].join(' → '));
    } else if (!done.has(path)) {
      importsOf(path).forEach(target => visit(target, [...way, path]));
      done.add(path);
    }
  };
  sources.forEach(path => visit(path, []));
  t.deepEqual(circles, []);
});

test('only one file loads the C library', t => {
  t.deepEqual(sources.filter(path => texts.get(path)!.includes("'bun:ffi'")), ['system/libc.ts']);
});

test('only the modules of the system call it', t => {
  t.deepEqual(sources.filter(path => importsOf(path).includes('system/libc.ts') && floorOf(path) !== 'system'), []);
});

test('no file is longer than a reader bears', t => {
  t.deepEqual(sources.filter(path => texts.get(path)!.split('\n').length > LONGEST_FILE + 1), []);
});
