/** The release's archive, of this machine's architecture if no other is named, and its unpacked tree: made once from the build that is there, and shared by the test files. */

import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {project} from './ground.js';

const MAKE = `
  mkdir -p .cache/archive
  exec 9>.cache/archive/lock
  flock 9
  if ! [ -e "$1" ]; then
    rm -rf .cache/archive/unfinished .cache/archive/*-"$2".made
    mkdir -p .cache/archive/unfinished/tree
    archive=$(node archive.js "$2" .cache/archive/unfinished)
    tar --extract --file "$archive" --strip-components=1 --directory .cache/archive/unfinished/tree
    mv .cache/archive/unfinished "$1"
  fi`;

/** Milliseconds, on a busy machine. */
export const ARCHIVE_TIME = 300_000;

/** When the commit was made, as the tests would have it: the sources need not be in a repository. */
export const COMMIT_TIME = '2001-09-09 01:46:40';

/** The same, as a variable of the environment has it. */
export const COMMIT_SECONDS = String(Date.parse(`${COMMIT_TIME}Z`) / 1000);

export interface Archive {
  /** The path of the archive. */
  readonly file: string;
  /** The path of what it unpacks to; nobody may change anything in it. */
  readonly tree: string;
}

export async function releasedArchive(architecture: string = process.arch): Promise<Archive> {
  const hash = createHash('sha256');
  for (const name of ['bin/jobbus-run', 'lib/jobbus-run/supervisor', 'share/man/man1/jobbus-run.1', 'completions.js', 'archive.js', 'tree.js', 'build.js', 'package.json', 'README.md']) {
    hash.update(readFileSync(join(project, name)));
  }

  const place = join(project, '.cache/archive', `${hash.digest('hex').slice(0, 16)}-${architecture}.made`);
  // Its size is not what the tests are about.
  const env = {XZ_OPT: '-0', SOURCE_DATE_EPOCH: COMMIT_SECONDS};
  await execa('/bin/sh', ['-euc', MAKE, 'sh', place, architecture], {cwd: project, env});
  const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};
  return {file: join(place, `jobbus-run-${version}-linux-${architecture}.tar.xz`), tree: join(place, 'tree')};
}
