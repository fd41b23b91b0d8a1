/** The modules of examples/, loaded by the tools that they are for. */

import {copyFileSync, mkdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {execa} from 'execa';
import {project, test, useBench} from './helpers/jobbus.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

/** What the shell function `module` is, and a file for the environment at each point. */
const SCRIPT = `
  tool=("$@")
  module() { eval "$("\${tool[@]}" bash "$@")"; }
  env -0 >before
  module load jobbus-run
  env -0 >loaded
  module unload jobbus-run
  env -0 >unloaded
  module help jobbus-run
  module whatis jobbus-run`;

/** What either tool keeps for itself. */
const BOOKS = /^(_|_*LMOD_.*|_*MODULES_.*|_ModuleTable.*|_LMFILES_|LOADEDMODULES)$/;

interface Tool {
  readonly package: string;
  /** What runs it, where its package is unpacked: the two cannot be installed side by side, and Lmod's would change every login shell. */
  readonly words: (place: string) => readonly string[];
}

const lmod: Tool = {package: 'lmod', words: place => [join(place, 'usr/share/lmod/lmod/libexec/lmod')]};
const environmentModules: Tool = {package: 'environment-modules', words: place => ['tclsh', join(place, 'usr/lib/modulecmd.tcl')]};

const PAIRS = [
  ['jobbus-run.lua', `${version}.lua`, lmod],
  ['jobbus-run.tcl', version, lmod],
  ['jobbus-run.tcl', version, environmentModules],
] as const;

for (const [file, name, tool] of PAIRS) {
  test(`${file}: ${tool.package} puts jobbus-run on PATH, and changes nothing else`, async t => {
    const {base} = t.context;
    const path = join(base, 'modules/jobbus-run', name);
    mkdirSync(dirname(path), {recursive: true});
    copyFileSync(join(project, 'examples', file), path);
    const env = {PATH: '/usr/bin:/bin', HOME: base, MODULEPATH: join(base, 'modules')};
    await execa('/bin/sh', ['-euc', 'apt-get download "$1" && dpkg-deb --extract "$1"_*.deb .', 'sh', tool.package], {cwd: base});
    const {stderr} = await execa('bash', ['--norc', '-c', SCRIPT, 'bash', ...tool.words(base)], {cwd: base, env, extendEnv: false});
    t.regex(stderr, /man jobbus-run\./);
    t.regex(stderr, /run a command with a D-Bus session of its own/i);
    const [before, loaded, unloaded] = ['before', 'loaded', 'unloaded'].map(point => variables(join(base, point)));
    t.deepEqual(loaded, {...before, PATH: `/opt/jobbus-run/${version}/bin:${before!.PATH!}`});
    t.deepEqual(unloaded, before);
  });
}

/** As env(1) has written them. */
function variables(path: string): Readonly<Record<string, string>> {
  const entries = readFileSync(path, 'utf8').split('\0').slice(0, -1).map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)] as const);
  return Object.fromEntries(entries.filter(([name]) => !BOOKS.test(name)));
}
