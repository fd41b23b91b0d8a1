/** The project's engine: runs what needs the C library of the sources, and builds the program anew with a part of them replaced. */

import {execFileSync} from 'node:child_process';
import {chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {binary, project} from './ground.js';
import type {Bench} from './jobbus.js';

export const engine = join(project, `node_modules/@oven/bun-linux-${process.arch === 'arm64' ? 'aarch64' : 'x64'}/bin/bun`);

/**
 * Words for the engine.
 *
 * @param names what is imported, by the file in src/ that has it; `run` waits in the loop, as the program does
 * @param lines of JavaScript, which find the words in process.argv from 1 up
 */
export function engineWords(names: Readonly<Record<string, string>>, lines: string, ...words: readonly string[]): string[] {
  const imports = Object.entries({...names, 'system/loop': `run, ${names['system/loop'] ?? ''}`}).map(([file, what]) => `import {${what}} from '${join(project, 'src', file)}.ts';`);
  return ['--eval', [...imports, lines].join('\n'), ...words];
}

/** Runs the lines. @returns what they have left in `result`, as JSON has it */
export async function resultInEngine({run}: Bench, names: Readonly<Record<string, string>>, lines: string, ...words: readonly string[]): Promise<unknown> {
  const {code, stdout, stderr} = await run(engineWords(names, `${lines}\nconsole.log(JSON.stringify(result ?? null));`, ...words), {program: engine});
  if (code !== 0) {
    throw new Error(stderr);
  }

  return JSON.parse(stdout);
}

/** A part of the sources, and what is put in its place. */
export interface Replacement {
  /** In src/. */
  readonly file: string;
  readonly part: RegExp;
  readonly instead: string;
}

/** Installs the program with parts replaced in the directory. @returns the launcher's path */
export function buildAltered(directory: string, replacements: readonly Replacement[]): string {
  cpSync(join(project, 'src'), join(directory, 'src'), {recursive: true});
  for (const {file, part, instead} of replacements) {
    const path = join(directory, 'src', file);
    const source = readFileSync(path, 'utf8');
    if (!part.test(source)) {
      throw new Error(`${file} has no ${part.source}`);
    }

    writeFileSync(path, source.replace(part, instead));
  }

  const launcher = join(directory, 'bin/jobbus-run');
  const supervisor = join(directory, 'lib/jobbus-run/supervisor');
  [launcher, supervisor].forEach(path => mkdirSync(dirname(path), {recursive: true}));
  copyFileSync(binary, launcher);
  chmodSync(launcher, 0o755);
  const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};
  execFileSync(engine, [join(project, 'supervisor.js'), supervisor, version], {cwd: directory, stdio: ['ignore', 'ignore', 'inherit']});
  return launcher;
}
