/** Each shell finds its completions by itself, and is asked for those of a few prefixes. */

import {existsSync, mkdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {execa} from 'execa';
import {blocksOf} from './helpers/documents.js';
import {binary, project, test, useBench, type Bench} from './helpers/jobbus.js';

useBench();

const share = join(project, 'share');

/** Its loader is a package of its own. */
const LOADER = '/usr/share/bash-completion/bash_completion';

/** With bash's own rules for what divides a word; what only readline can be told is left out. */
const IN_BASH = `
  . ${LOADER}
  compopt() { :; }
  _completion_loader jobbus-run
  declare -F _jobbus_run >/dev/null || exit
  COMP_LINE=$1 COMP_POINT=\${#1} COMP_TYPE=9
  shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  _jobbus_run jobbus-run
  printf '%s\\n' "\${COMPREPLY[@]}"`;

/** In a terminal of its own: its line editor says when it reads; then each word that is offered is printed, until all are. */
const IN_ZSH = `
  zmodload zsh/zpty
  zpty inner zsh -f -i
  enter() { zpty -w inner "$1"; }
  enter 'PS1=; fpath=(\${~FUNCTIONS} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_auto_list no_auto_menu'
  enter 'compadd() {
    if [[ \${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then local -a offered; builtin compadd -A offered "$@"; print; print -rC1 -- "<"$^offered">"; fi
    builtin compadd "$@"
  }'
  enter 'complete-end() { print complete $((1)) }; comppostfuncs=(complete-end); bindkey "^I" complete-word'
  enter 'zle-line-init() { print reads $((1)) }; zle -N zle-line-init'
  zpty -r -m inner line '*reads 1*'
  zpty -w -n inner "$1"$'\\t'
  zpty -r -m inner line '*complete 1*'
  print -r -- "$line"
  zpty -d inner`;

/** Where the shells look. */
interface Place {
  readonly XDG_DATA_DIRS: string;
  /** For zsh, what everybody has in fpath. */
  readonly FUNCTIONS: string;
}

const INSTALLED: Place = {XDG_DATA_DIRS: `${share}:/usr/share`, FUNCTIONS: `${share}/zsh/site-functions`};

const AT_HOME: Place = {XDG_DATA_DIRS: '/usr/share', FUNCTIONS: '~/.local/share/zsh/site-functions'};

type Ask = (bench: Bench, line: string, place?: Place) => Promise<readonly string[]>;

async function output(bench: Bench, [program = '', ...words]: readonly string[], place = INSTALLED): Promise<string> {
  const environment = {HOME: bench.base, PATH: `${dirname(binary)}:${bench.environment.PATH!}`, TERM: 'dumb', ...place};
  const {stdout, stderr} = await bench.run(words, {program, environment, cwd: bench.base, stdio: ['ignore', 'pipe', 'pipe']});
  if (stderr !== '') {
    throw new Error(`${program} said: ${stderr}`);
  }

  return stdout;
}

const SHELLS: Readonly<Record<string, Ask>> = {
  async bash(bench, line, place) {
    const words = line.split(/ +|(?<=[=:])|(?=[=:])/);
    return (await output(bench, ['bash', '--norc', '-c', IN_BASH, 'bash', line, ...words], place)).split('\n');
  },
  async zsh(bench, line, place) {
    return Array.from((await output(bench, ['zsh', '-f', '-c', IN_ZSH, 'zsh', line], place)).matchAll(/^<(.*)>/gm), match => match[1]!);
  },
  async fish(bench, line, place) {
    return (await output(bench, ['fish', '-c', 'complete -C $argv[1]', line], place)).split('\n').map(offered => offered.split('\t')[0]!);
  },
};

for (const [shell, ask] of Object.entries(SHELLS)) {
  const needsShell = shell !== 'bash' || existsSync(LOADER) || process.env.CI ? test : test.skip;

  /** In order and each once, without what the whole line or the option before it makes the same. */
  const offered = async (bench: Bench, line: string, place?: Place): Promise<string[]> => {
    const start = line.slice(line.lastIndexOf(' ') + 1);
    const words = (await ask(bench, line, place)).map(word => word.replace(/^--[\w-]+=(?=.)/, '').replace(/^\w+:(?=.)/, '').replace(/[/ =]+$/, ''));
    return [...new Set(words.filter(word => word !== '' && (start.includes('=') || start.includes(':') || word.startsWith(start))))].sort();
  };

  needsShell(`${shell} completes options, all that --help names, until a command begins`, async t => {
    t.deepEqual(await offered(t.context, 'jobbus-run --ru'), ['--runtime-base']);
    t.deepEqual(await offered(t.context, 'jobbus-run -v --kill-after 5 --keyring=x --st'), ['--stop', '--stop-timeout']);
    const all = await offered(t.context, 'jobbus-run --');
    const {stdout: help} = await t.context.run(['--help']);
    t.deepEqual(all.filter(word => word !== '--'), Array.from(help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm), match => match[1]!).sort());
    t.deepEqual(await offered(t.context, 'jobbus-run no-such-command --ru'), []);
    t.deepEqual(await offered(t.context, 'jobbus-run -- --ru'), []);
  });

  needsShell(`${shell} completes what an option takes`, async t => {
    const {base} = t.context;
    mkdirSync(join(base, 'a-directory'));
    writeFileSync(join(base, 'a-file'), '');
    const user = (await execa('id', ['-un'])).stdout;
    t.deepEqual(await offered(t.context, 'jobbus-run --runtime-base a-'), ['a-directory']);
    t.deepEqual(await offered(t.context, 'jobbus-run --runtime-base=a-'), ['a-directory']);
    t.deepEqual(await offered(t.context, 'jobbus-run --config-file a-'), ['a-directory', 'a-file']);
    t.deepEqual(await offered(t.context, 'jobbus-run --keyring=a-'), ['a-directory', 'a-file']);
    t.deepEqual(await offered(t.context, 'jobbus-run --map-signal USR'), ['USR1', 'USR2']);
    t.deepEqual(await offered(t.context, 'jobbus-run --map-signal USR1:TER'), ['TERM']);
    t.true((await offered(t.context, `jobbus-run --sweep --uid ${user.slice(0, -1)}`)).includes(user));
    t.deepEqual(await offered(t.context, 'jobbus-run --kill-after a-'), []);
  });

  needsShell(`${shell} completes a command, and its arguments as without jobbus-run`, async t => {
    writeFileSync(join(t.context.base, 'a-file'), '');
    for (const options of ['', '-- ', '--wait ', '--keyring --map-signal USR1:TERM --map-signal=HUP: --stop-timeout 3 ', '--runtime-base=/tmp -- ']) {
      t.deepEqual(await offered(t.context, `jobbus-run ${options}dbus-run-sess`), ['dbus-run-session'], options);
      t.deepEqual(await offered(t.context, `jobbus-run ${options}cat a-`), ['a-file'], options);
    }

    t.true((await offered(t.context, 'jobbus-run ')).includes('cat'));
    t.deepEqual(await offered(t.context, 'jobbus-run --wait -- jobbus-run --ru'), ['--runtime-base'], 'as its own completion says');
  });

  needsShell(`${shell} finds its completions behind the links that the page makes`, async t => {
    const {base} = t.context;
    mkdirSync(join(base, '.local/opt'), {recursive: true});
    symlinkSync(project, join(base, '.local/opt/jobbus-run-0'));
    t.deepEqual(await offered(t.context, 'jobbus-run --ru', AT_HOME), [], 'without');
    const {text} = blocksOf('docs/install.md').find(block => block.text.includes('site-functions'))!;
    t.is((await t.context.run(['-c', text], {program: '/bin/sh', environment: {HOME: base}})).code, 0);
    t.deepEqual(await offered(t.context, 'jobbus-run --ru', AT_HOME), ['--runtime-base']);
  });

  needsShell(`${shell} completes the sessions that live`, async t => {
    const run = t.context.start(['--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {environment: {SLURM_JOB_ID: '4711'}});
    const directory = await run.line(/jobbus-\d+/);
    t.deepEqual(await offered(t.context, 'jobbus-run --join 47'), ['4711']);
    t.deepEqual(await offered(t.context, `jobbus-run --join ${directory.slice(0, -3)}`), [directory]);
    process.kill(run.pid, 'SIGTERM');
    await run.result;
  });
}

test('the completion for bash is clean for shellcheck', async t => {
  await t.notThrowsAsync(execa('shellcheck', ['--shell=bash', join(share, 'bash-completion/completions/jobbus-run')]));
});
