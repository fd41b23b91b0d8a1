/** The documents are true: their links lead somewhere, their options exist, and their commands work as written. */

import {chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {ARCHIVE_TIME, releasedArchive} from './helpers/archive.js';
import {optionsIn, readPages, type Block, type Page} from './helpers/documents.js';
import {binary, project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';

useBench();

const pages = readPages();
const [readme] = pages as readonly [Page, ...Page[]];

/** What was once is named there too. */
const current = pages.filter(({path}) => path !== 'CHANGELOG.md');

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

test('the README has 150 lines at most', t => {
  t.true(readme.lines.length <= 150, String(readme.lines.length));
});

/** Where a link of a page leads to, below the project. */
function targetOf({path}: Page, link: string): {readonly file: string; readonly anchor: string | undefined} {
  const [file, anchor] = link.split('#') as [string, string?];
  return {file: file === '' ? path : join(dirname(path), file), anchor};
}

const within = (page: Page): readonly string[] => page.links.filter(link => !/^https?:/.test(link));

test('every link leads to a file that is there, and to a heading in it', t => {
  const broken = pages.flatMap(page => within(page).filter(link => {
    const {file, anchor} = targetOf(page, link);
    const isThere = existsSync(join(project, file));
    return !isThere || (anchor !== undefined && pages.find(({path}) => path === file)?.anchors.has(anchor) !== true);
  }).map(link => `${page.path}: ${link}`));
  t.deepEqual(broken, []);
});

test('every page is linked from another', t => {
  const linked = new Set(pages.flatMap(page => within(page).map(link => targetOf(page, link).file).filter(file => file !== page.path)));
  t.deepEqual(pages.map(({path}) => path).filter(path => path !== 'README.md' && !linked.has(path)), []);
});

test('a page names the version that is built', t => {
  const versions = current.flatMap(({path, lines}) => Array.from(lines.join('\n').matchAll(/jobbus-run[-/](\d+\.\d+\.\d+)/g), match => `${path} ${match[1]!}`));
  t.deepEqual(versions.filter(text => !text.endsWith(` ${version}`)), []);
});

test('the pictures are what their script makes, and a page shows each and says the same in words', async t => {
  const made = join(t.context.base, 'pictures');
  mkdirSync(made);
  const {code, stderr} = await t.context.run(['pictures.js', made], {program: process.execPath, cwd: project});
  t.is(code, 0, stderr);
  t.deepEqual(readdirSync(join(project, 'docs/pictures')), readdirSync(made));
  for (const name of readdirSync(made)) {
    const picture = readFileSync(join(made, name), 'utf8');
    t.is(readFileSync(join(project, 'docs/pictures', name), 'utf8'), picture, name);
    const words = /<desc>(.*)<\/desc>/.exec(picture)![1]!;
    t.true(pages.some(({lines}) => lines.includes(`![${words}](pictures/${name})`)), `no page shows ${name} as: ${words}`);
  }
});

/** Options that pages name, and that are not ours. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  'apptainer, podman, charliecloud, bubblewrap and their kin': [
    '--bind', '--cgroup-manager', '--cleanenv', '--containall', '--container-image', '--container-mounts', '--cpus', '--env', '--fakeroot', '--init', '--map-root-user', '--memory',
    '--mount', '--private-tmp', '--rm', '--root', '--rootfs', '--runroot', '--tmpfs', '--unshare-all', '--userns',
  ],
  ava: ['--match'],
  'dbus-daemon and gnome-keyring-daemon, and their clients': ['--components', '--dest', '--fork', '--label', '--print-reply', '--session', '--unlock'],
  'npm, apt-get and tar': ['--global', '--no-install-recommends', '--prefix', '--strip-components'],
  Slurm: ['--array', '--batch', '--export', '--full', '--jobid', '--mpi', '--ntasks-per-node', '--overcommit', '--overlap', '--pty', '--requeue', '--signal', '--time'],
  systemd: ['--user'],
  unshare: ['--pid'],
  xpra: ['--daemon', '--dbus-launch', '--exit-with-children', '--start-child'],
};

test('every option is named by a page, and every option that a page names is there', async t => {
  const ours = new Set(optionsIn((await t.context.run(['--help'])).stdout));
  const named = new Set(current.flatMap(({code}) => code.flatMap(optionsIn)));
  t.deepEqual([...ours].filter(option => !named.has(option)), [], 'named by no page');
  const known = new Set([...ours, ...Object.values(OTHERS).flat()]);
  t.deepEqual([...named].filter(option => !known.has(option)).sort(), [], "neither ours nor another's");
});

test('every message that tells of a failure is explained', t => {
  const sources = readdirSync(join(project, 'src'), {recursive: true, encoding: 'utf8'}).filter(name => name.endsWith('.ts'));
  const messages = sources.flatMap(name => Array.from(readFileSync(join(project, 'src', name), 'utf8').matchAll(/['`]([a-z][^'`\n]* failed)(?=[:;,'`])/g), match => match[1]!));
  const shown = new Set(messages.map(message => message.replace(/\$\{[^}]*\}+/g, '…')));
  const explained = current.find(({path}) => path === 'docs/troubleshooting.md')!.code.join('\n');
  t.true(shown.size > 20, String(shown.size));
  t.deepEqual([...shown].filter(message => !explained.includes(message)), []);
});

/** Programs that need a bus: what they say without one is what the README promises to cure. */
const CURED: ReadonlyArray<readonly [words: readonly string[], message: string, environment?: Readonly<Record<string, string>>]> = [
  [['dbus-run-session', 'true'], 'XDG_RUNTIME_DIR "/run/user/1000" not available', {XDG_RUNTIME_DIR: '/run/user/1000'}],
  [['gdbus', 'call', '--session', '-d', 'org.freedesktop.DBus', '-o', '/', '-m', 'org.freedesktop.DBus.GetId'], 'Cannot autolaunch D-Bus without X11 $DISPLAY'],
  [['dbus-send', '--session', '--print-reply', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'], 'Unable to autolaunch a dbus-daemon without a $DISPLAY for X11'],
];

for (const [[program = '', ...words], message, leaked = {}] of CURED) {
  test(`${program} says what the README shows, and not under jobbus-run`, async t => {
    t.true(readme.code.includes(message), message);
    const environment = {DISPLAY: undefined, ...leaked};
    t.true((await t.context.run(words, {program, environment})).stderr.includes(message), 'without');
    const {code, stderr} = await t.context.run(['--', program, ...words], {environment});
    t.is(code, 0, stderr);
    t.false(stderr.includes(message), 'under it');
  });
}

/** What Slurm does is for the tests in slurm/: here srun runs its command as a step's, and programs of the reader's do nothing. */
const STAND_INS: Readonly<Record<string, string>> = {
  srun: '#!/bin/sh\nwhile case "$1" in -*) ;; *) false ;; esac; do shift; done\nexport SLURM_JOB_ID=$$ SLURM_STEP_ID=0\nexec "$@"\n',
  python: '#!/bin/sh\nexec python3 "$@"\n',
  task: '#!/bin/sh\n',
};

const FILES: Readonly<Record<string, string>> = {'app.py': 'print("app")\n', 'prepare.py': 'print("prepared")\n'};

const SHELLS: Readonly<Record<string, readonly [string, ...string[]]>> = {sh: ['bash', '--norc', '-e'], csh: ['tcsh', '-f', '-e'], fish: ['fish', '--no-config']};

/** A reader's directory, with what the pages take to be there. */
function makeDirectory({base}: Bench): string {
  const directory = join(base, 'work');
  mkdirSync(join(base, 'home'));
  mkdirSync(directory);
  Object.entries({...FILES, ...STAND_INS}).forEach(([name, text]) => {
    writeFileSync(join(directory, name), text, {mode: 0o755});
  });
  return directory;
}

/** As written: a script by its first line, other lines by a shell that stops at the first that fails. */
async function runBlock(bench: Bench, directory: string, {text, language}: Block): Promise<Result> {
  const script = join(directory, 'block');
  writeFileSync(script, `${text}\n`);
  chmodSync(script, 0o755);
  const [program, ...words] = text.startsWith('#!') ? [script] as const : [...SHELLS[language]!, script] as const;
  const PATH = `${directory}:${dirname(binary)}:${bench.environment.PATH!}`;
  return bench.run(words, {program, cwd: directory, environment: {PATH, HOME: join(bench.base, 'home'), DISPLAY: undefined}});
}

for (const {path, blocks} of current) {
  for (const block of blocks.filter(({language, notRun}) => language in SHELLS && notRun === undefined)) {
    test(`${path}, line ${block.line}: it works as written`, async t => {
      const directory = makeDirectory(t.context);
      if (block.text.includes('.tar.xz')) {
        t.timeout(ARCHIVE_TIME);
        const {file} = await releasedArchive();
        symlinkSync(file, join(directory, basename(file)));
      }

      const {code, stdout, stderr} = await runBlock(t.context, directory, block);
      t.is(code, 0, `${stdout}${stderr}`);
    });
  }
}

test("the README's first command does the main job, and its second is what CI runs", async t => {
  const [first = '', second = ''] = readme.blocks.map(({text}) => text).filter(text => text.startsWith('apt-get '));
  const {code, stdout} = await t.context.run(['--', ...first.split('bin/jobbus-run -- ')[1]!.split(' ')]);
  t.is(code, 0);
  t.regex(stdout, /org\.freedesktop\.DBus/);
  t.true(readFileSync(join(project, '.ci/run'), 'utf8').includes(`\n${second}\n`));
});
