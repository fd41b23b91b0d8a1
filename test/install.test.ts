import {cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {onExit} from 'signal-exit';
import {project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';

useBench();

/** Without the user's own settings, and without a network. */
function npmSettings(bench: Bench): Record<string, string> {
  return {HOME: bench.base, npm_config_cache: join(bench.base, 'cache'), npm_config_update_notifier: 'false', npm_config_offline: 'true'};
}

async function npm(bench: Bench, words: readonly string[], cwd: string): Promise<void> {
  const {code, stderr} = await bench.run([...words, '--no-audit', '--no-fund'], {program: 'npm', cwd, environment: npmSettings(bench)});
  if (code !== 0 || /warn/i.test(stderr)) {
    throw new Error(`npm ${words.join(' ')} ended with ${String(code)}: ${stderr}`);
  }
}

let packed: string | undefined;

/** The package for this machine's architecture, made once: it is large. What `prepack` builds is there already. */
async function pack(bench: Bench): Promise<string> {
  if (packed === undefined) {
    packed = mkdtempSync(join(tmpdir(), 'jbt-packed-'));
    await npm(bench, ['pack', '--silent', '--ignore-scripts', '--pack-destination', packed], project);
  }

  return join(packed, readdirSync(packed)[0]!);
}

onExit(() => {
  if (packed !== undefined) {
    rmSync(packed, {recursive: true});
  }
});

const ASK = ['--', 'dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

function answers({code, stdout, stderr}: Result): boolean {
  return code === 0 && stderr === '' && /^\s*[0-9a-f]{32}\s*$/.test(stdout);
}

test.serial('the packed package, installed into an empty folder, runs', async t => {
  const tarball = await pack(t.context);
  const folder = join(t.context.base, 'an empty folder');
  mkdirSync(folder);
  await npm(t.context, ['install', '--prefix', folder, tarball], folder);
  t.deepEqual(readdirSync(join(folder, 'node_modules')).filter(name => !name.startsWith('.')), ['jobbus-run'], 'it brings no other');
  t.true(answers(await t.context.run(ASK, {program: join(folder, 'node_modules/.bin/jobbus-run')})));
  t.true(answers(await t.context.run(['jobbus-run', ...ASK], {program: 'npx', cwd: folder, environment: npmSettings(t.context)})));
});

function filesIn(folder: string): string[] {
  const names = readdirSync(join(project, folder), {recursive: true, encoding: 'utf8'});
  return names.filter(name => statSync(join(project, folder, name)).isFile()).map(name => `${folder}/${name}`).sort();
}

test.serial('the package has what is needed, and nothing else', async t => {
  const {stdout} = await t.context.run(['--list', '--verbose', '--file', await pack(t.context)], {program: 'tar'});
  const files = stdout.trimEnd().split('\n').map(line => /^(\S+) .* package\/(.+)$/.exec(line)!.slice(1) as [mode: string, path: string]);
  const [sources, others] = [true, false].map(isSource => files.map(([, path]) => path).filter(path => path.startsWith('src/') === isSource));
  t.deepEqual(others!.sort(), [
    'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'LICENSES', 'README.md', 'SECURITY.md', 'bin/jobbus-run', ...filesIn('docs'), ...filesIn('examples'), 'frame.js',
    'lib/jobbus-run/supervisor', 'package.json', ...filesIn('share'), 'supervisor.js',
  ]);
  t.deepEqual(sources!.filter(path => !/\.(c|h|ts)$/.test(path)), []);
  t.deepEqual(files.filter(([mode]) => mode.includes('x')).map(([, path]) => path).sort(), [
    'bin/jobbus-run', 'examples/conda/build.sh', 'examples/epilog.sh', 'examples/open-ondemand/template/script.sh.erb', 'lib/jobbus-run/supervisor',
  ]);
});

test('nothing is installed or run with it', t => {
  const {scripts, ...manifest} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as Record<string, object>;
  t.deepEqual(Object.keys(scripts!).filter(name => /^(pre|post)?(install|prepare)$/.test(name)), []);
  t.deepEqual(Object.keys(manifest).filter(name => name.endsWith('ependencies')), ['devDependencies']);
});

test.serial('installed by npm install -g, it runs by every way of naming it', async t => {
  const prefix = join(t.context.base, 'pre fix');
  await npm(t.context, ['install', '--global', '--prefix', prefix, await pack(t.context)], t.context.base);
  const bin = join(prefix, 'bin');
  t.regex(readlinkSync(join(bin, 'jobbus-run')), /\/lib\/node_modules\/jobbus-run\/bin\/jobbus-run$/);
  t.true(existsSync(join(prefix, 'share/man/man1/jobbus-run.1')), 'man finds its page');
  symlinkSync(join(bin, 'jobbus-run'), join(t.context.base, 'second-link'));
  symlinkSync('second-link', join(t.context.base, 'third-link'));
  symlinkSync(prefix, join(t.context.base, 'linked-prefix'));
  const ways: ReadonlyArray<[way: string, program: string, cwd: string, path?: string]> = [
    ['absolute path', join(bin, 'jobbus-run'), '/'],
    ['relative path', './jobbus-run', bin],
    ['relative path with a directory', 'bin/jobbus-run', prefix],
    ['second link', join(t.context.base, 'second-link'), '/'],
    ['third, relative link', './third-link', t.context.base],
    ['linked directory', 'linked-prefix/bin/jobbus-run', t.context.base],
    ['PATH', 'jobbus-run', '/', bin],
    ['relative PATH', 'jobbus-run', prefix, 'bin'],
    ['empty word of PATH', 'jobbus-run', bin, ''],
  ];
  for (const [way, program, cwd, path] of ways) {
    const environment = path === undefined ? {} : {PATH: `${path}:${process.env.PATH!}`};
    const result = await t.context.run(['-c', 'exec "$0" "$@"', program, ...ASK], {program: '/bin/sh', cwd, environment});
    t.true(answers(result), `${way}: ${JSON.stringify(result)}`);
  }
});

test('the launcher of the project itself runs by every way of naming it', async t => {
  for (const [program, cwd] of [['bin/jobbus-run', project], ['./jobbus-run', join(project, 'bin')], ['../bin/jobbus-run', join(project, 'src')]] as const) {
    t.true(answers(await t.context.run(ASK, {program, cwd})), program);
  }
});

test('it runs by every path in a directory that is removed', async t => {
  symlinkSync(project, join(t.context.base, 'project'));
  for (const program of ['../project/bin/jobbus-run', join(project, 'bin/jobbus-run')]) {
    const script = 'mkdir removed && cd removed && rmdir ../removed && shift && exec "$0" "$@"';
    const result = await t.context.run(['-c', script, program, 'sh', ...ASK], {program: '/bin/sh', cwd: t.context.base});
    t.true(answers({...result, stderr: ''}), `${program}: ${JSON.stringify(result)}`); // On stderr are words of /bin/sh's own.
  }
});

test('a copy of the tree runs, and a copy of the launcher alone says what is missing', async t => {
  const [tree, alone] = [join(t.context.base, 'a tree'), join(t.context.base, 'alone')];
  for (const name of ['bin', 'lib']) {
    cpSync(join(project, name), join(tree, name), {recursive: true});
  }

  t.true(answers(await t.context.run(ASK, {program: join(tree, 'bin/jobbus-run')})));
  cpSync(join(project, 'bin'), join(alone, 'bin'), {recursive: true});
  const {code, stdout, stderr} = await t.context.run(ASK, {program: join(alone, 'bin/jobbus-run')});
  t.like({code, stdout}, {code: 125, stdout: ''});
  t.regex(stderr, /^jobbus-run: starting .*\/lib\/jobbus-run\/supervisor failed: No such file or directory; unpack the archive whole: .*\n$/);
});
