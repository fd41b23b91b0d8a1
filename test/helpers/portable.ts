/** The portable archive, unpacked: made once from the build that is there, and shared by the test files. */

import {createHash} from 'node:crypto';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {project} from './jobbus.js';

const MAKE = `
  mkdir -p build/portable
  exec 9>build/portable/lock
  flock 9
  if ! [ -e "$1" ]; then
    rm -rf build/portable/unfinished build/portable/*.unpacked
    mkdir build/portable/unfinished
    archive=$(node portable.js "$2" build/portable/unfinished)
    tar --extract --file "$archive" --strip-components=1 --directory build/portable/unfinished
    rm "$archive"
    mv build/portable/unfinished "$1"
  fi`;

/** Milliseconds: Node comes over the network. */
export const PORTABLE_TIME = 300_000;

/** @returns the path of the unpacked archive; nobody may change anything in it */
export async function unpackedPortable(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['bin/jobbus-run', 'portable.js', ...readdirSync(join(project, 'dist')).map(file => `dist/${file}`)]) {
    hash.update(readFileSync(join(project, name)));
  }

  const place = join(project, 'build/portable', `${hash.digest('hex').slice(0, 16)}.unpacked`);
  await execa('/bin/sh', ['-euc', MAKE, 'sh', place, process.arch], {cwd: project});
  return place;
}
