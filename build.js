// Builds what is installed: the frame, the supervisor, the manual page and completions for shells. Usage: build.js [DIRECTORY [x64 | arm64]]
import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {arch as ownArchitecture} from 'node:os';
import {dirname, join} from 'node:path';
import {bashCompletion, fishCompletion, zshCompletion} from './completions.js';
import {compilerOf, engineOf} from './engine.js';
import {manualPage} from './manual.js';

const [root = '.', architecture = ownArchitecture()] = process.argv.slice(2);
const {version} = JSON.parse(readFileSync('package.json', 'utf8'));
const isForeign = architecture !== ownArchitecture();

make('bin/jobbus-run', compileFrame);
make('lib/jobbus-run/supervisor', compileSupervisor);
const help = helpOfProgram();
make('share/man/man1/jobbus-run.1', path => writeFileSync(path, manualPage(help, version)));
make('share/bash-completion/completions/jobbus-run', path => writeFileSync(path, bashCompletion(help)));
make('share/zsh/site-functions/_jobbus-run', path => writeFileSync(path, zshCompletion(help)));
make('share/fish/vendor_completions.d/jobbus-run.fish', path => writeFileSync(path, fishCompletion(help)));

/** In one step: another may be running what is there. */
function make(path, write) {
  const target = join(root, path);
  mkdirSync(dirname(target), {recursive: true});
  write(`${target}.new`);
  renameSync(`${target}.new`, target);
}

function compileFrame(path) {
  run('node', ['frame.js', path, compilerOf(architecture)]);
}

function compileSupervisor(path) {
  run(engineOf(ownArchitecture()), ['supervisor.js', path, version, ...(isForeign ? [engineOf(architecture), architecture] : [])]);
}

/** Of another architecture's program, this machine can't ask what it says: its own says the same. */
function helpOfProgram() {
  return execFileSync(isForeign ? 'bin/jobbus-run' : join(root, 'bin/jobbus-run'), ['--help'], {encoding: 'utf8'});
}

function run(program, words) {
  execFileSync(program, words, {stdio: ['ignore', 'inherit', 'inherit']});
}
