/** Other versions of Node, to try: fetched once, as the packages that bring the binaries. */

import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {project} from './jobbus.js';

const VERSIONS = {node22: '22.23.3', node24: '24.9.0'} as const;

export const NODES_DIRECTORY = join(project, 'build/nodes');

let found: Promise<string[]> | undefined;

/** @returns the paths of the binaries, that of the tests' own Node first */
export async function nodes(): Promise<string[]> {
  return (found ??= fetchNodes());
}

async function fetchNodes(): Promise<string[]> {
  mkdirSync(NODES_DIRECTORY, {recursive: true});
  const packages = Object.entries(VERSIONS).map(([name, version]) => `${name}@npm:node-linux-${process.arch}@${version}`);
  // Several test files may want them at the same time.
  const install = '[ -e complete ] || { npm install --no-save --no-audit --no-fund --prefix . "$@" && touch complete; }';
  await execa('flock', ['.', 'sh', '-c', install, 'sh', ...packages], {cwd: NODES_DIRECTORY});
  return [process.execPath, ...Object.keys(VERSIONS).map(name => join(NODES_DIRECTORY, 'node_modules', name, 'bin/node'))];
}
