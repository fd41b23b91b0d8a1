// The tree of a release for one architecture, from which the archive and the packages are made: what npm packs, with the programs of that architecture.
import {execFileSync} from 'node:child_process';
import {cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {arch as ownArchitecture} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {gzipSync} from 'node:zlib';

/** By npm, whatever package.json says. */
const PACKED_ANYWAY = ['package.json', 'README.md', 'LICENSE'];

export const {version, description, files} = JSON.parse(readFileSync('package.json', 'utf8'));

/** What the scripts that make a release are called with: [x64 | arm64] [DIRECTORY] */
export const [architecture = ownArchitecture(), destination = '.'] = process.argv.slice(2);

/** Seconds. All files of a release are as old as its commit; who makes packages reads this too. */
process.env.SOURCE_DATE_EPOCH ??= run('git', 'log', '-1', '--format=%ct').trim();
export const time = process.env.SOURCE_DATE_EPOCH;

/** How hard xz tries; XZ_OPT says it to all that makes a release. */
export const level = /-(\d)/.exec(process.env.XZ_OPT ?? '')?.[1] ?? '6';

/** Calls with an absolute directory that is gone afterwards. */
export function staged(use) {
  mkdirSync('.cache', {recursive: true});
  const stage = resolve(mkdtempSync('.cache/release-'));
  try {
    use(stage);
  } finally {
    rmSync(stage, {recursive: true});
  }
}

export function fill(root) {
  run('node', 'build.js', root, architecture);
  const others = [...files, ...PACKED_ANYWAY].filter(path => !existsSync(join(root, path)));
  others.forEach(path => cpSync(path, join(root, path), {recursive: true}));
}

const PROGRAMS = ['bin', 'lib', 'share'];
const DOCUMENTATION = ['README.md', 'CHANGELOG.md', 'docs', 'examples'];

/** The same, as a system's package has it. The licences and the sources stay together: LICENSES tells how to link anew in its own directory. */
export function fillInstalled(root) {
  const usr = join(root, 'usr');
  fill(usr);
  for (const name of readdirSync(usr).filter(name => !PROGRAMS.includes(name))) {
    const target = join(usr, 'share', DOCUMENTATION.includes(name) ? 'doc' : '', 'jobbus-run', name);
    mkdirSync(dirname(target), {recursive: true});
    renameSync(join(usr, name), target);
  }

  compress(join(usr, 'share/man/man1/jobbus-run.1'));
}

function compress(path) {
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), {level: 9}));
  rmSync(path);
}

/** Whoever has made it, whatever his umask. */
export function settle(root) {
  run('chmod', '-R', 'go=rX,u+w', root);
  run('find', root, '-exec', 'touch', '--no-dereference', `--date=@${time}`, '{}', '+');
}

export function run(program, ...words) {
  return execFileSync(program, words, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
}
