// The engine and the compiler of each architecture. npm installs this machine's; another's is fetched, and is the one in package-lock.json, or it is not taken.
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {arch as ownArchitecture} from 'node:os';
import {basename, join, resolve} from 'node:path';

const PACKAGES = {x64: '@oven/bun-linux-x64', arm64: '@oven/bun-linux-aarch64'};
const COMPILERS = {x64: 'x86_64-linux-gnu-gcc', arm64: 'aarch64-linux-gnu-gcc'};
const FETCHED = '.cache/engine';

export function compilerOf(architecture) {
  return architecture === ownArchitecture() ? 'gcc' : COMPILERS[architecture];
}

/** @returns its absolute path */
export function engineOf(architecture) {
  const name = PACKAGES[architecture];
  if (name === undefined) {
    throw new Error(`There is no engine for ${architecture}: name one of ${Object.keys(PACKAGES).join(', ')}`);
  }

  return architecture === ownArchitecture() ? resolve('node_modules', name, 'bin/bun') : fetched(name);
}

function fetched(name) {
  const {version, integrity} = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages[`node_modules/${name}`];
  const place = resolve(FETCHED, `${basename(name)}-${version}`);
  if (!existsSync(place)) {
    mkdirSync(FETCHED, {recursive: true});
    const directory = mkdtempSync(join(FETCHED, 'fetching-'));
    try {
      renameSync(fetch(`${name}@${version}`, integrity, directory), place);
    } finally {
      rmSync(directory, {recursive: true});
    }
  }

  return place;
}

/** @returns the path of what has been unpacked in the directory */
function fetch(what, integrity, directory) {
  const [{filename}] = JSON.parse(execFileSync('npm', ['pack', what, '--json', '--pack-destination', directory], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']}));
  const archive = join(directory, filename);
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (found !== integrity) {
    throw new Error(`${what} is not the engine that package-lock.json names: its checksum is ${found}`);
  }

  execFileSync('tar', ['--extract', '--file', archive, '--directory', directory, 'package/bin/bun']);
  return join(directory, 'package/bin/bun');
}
