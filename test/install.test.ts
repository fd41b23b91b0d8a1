import {existsSync, mkdirSync, readdirSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {project, test, useBench, type Bench, type Result} from './helpers/jobbus.js';

useBench();

/** Without the user's own settings, and without a network. */
function npmSettings(bench: Bench): Record<string, string> {
  return {HOME: bench.base, npm_config_cache: join(bench.base, 'cache'), npm_config_update_notifier: 'false', npm_config_offline: 'true'};
}

async function npm(bench: Bench, words: readonly string[], cwd: string): Promise<void> {
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts'];
  const {code, stderr} = await bench.run([...words, ...quiet], {program: 'npm', cwd, environment: npmSettings(bench)});
  if (code !== 0) {
    throw new Error(`npm ${words.join(' ')} ended with ${code}: ${stderr}`);
  }
}

/** The tarball as npm would publish it; what `prepare` builds is there already. */
async function pack(bench: Bench): Promise<string> {
  const packed = join(bench.base, 'packed');
  mkdirSync(packed);
  await npm(bench, ['pack', '--pack-destination', packed], project);
  return join(packed, readdirSync(packed)[0]!);
}

const ASK = ['--', 'dbus-send', '--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'];

function answers({code, stdout, stderr}: Result): boolean {
  return code === 0 && stderr === '' && /^\s*[0-9a-f]{32}\s*$/.test(stdout);
}

test('the packed package, installed into an empty folder, runs', async t => {
  const tarball = await pack(t.context);
  const folder = join(t.context.base, 'an empty folder');
  mkdirSync(folder);
  await npm(t.context, ['install', '--prefix', folder, tarball], folder);
  t.deepEqual(readdirSync(join(folder, 'node_modules')).filter(name => !name.startsWith('.')), ['jobbus-run'], 'it brings no other');
  t.true(answers(await t.context.run(ASK, {program: join(folder, 'node_modules/.bin/jobbus-run')})));
  t.true(answers(await t.context.run(['jobbus-run', ...ASK], {program: 'npx', cwd: folder, environment: npmSettings(t.context)})));
});

test('the package has what is needed, and nothing else', async t => {
  const {stdout} = await t.context.run(['pack', '--dry-run', '--json', '--ignore-scripts'], {program: 'npm', cwd: project, environment: npmSettings(t.context)});
  const [{files}] = JSON.parse(stdout) as [{files: ReadonlyArray<{path: string; mode: number}>}];
  const paths = files.map(({path}) => path).filter(path => !/^dist\/[\w-]+\.cjs$/.test(path));
  t.deepEqual(paths.sort(), [
    'CHANGELOG.md', 'LICENSE', 'README.md', 'bin/jobbus-run', 'dist/LICENSES', 'dist/jobbus-run.1', 'docs/cost.md', 'docs/design.md', 'examples/jobbus-run.def',
    'examples/jobbus-run.lua', 'package.json',
  ]);
  t.deepEqual(files.filter(({mode}) => (mode & 0o111) !== 0).map(({path}) => path), ['bin/jobbus-run']);
});

test('installed by npm install -g, it runs by every way of naming it', async t => {
  const prefix = join(t.context.base, 'pre fix');
  await npm(t.context, ['install', '--global', '--prefix', prefix, await pack(t.context)], t.context.base);
  const bin = join(prefix, 'bin');
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

  const {stderr} = await t.context.run(['-v', '--', 'true'], {program: join(t.context.base, 'second-link')});
  t.regex(stderr, /started true/);
  t.notRegex(stderr, /recorded failed/, 'whatever a link is called, what the launcher recorded is believed');
});

test('the launcher of the project itself runs by every way of naming it', async t => {
  for (const [program, cwd] of [['bin/jobbus-run', project], ['./jobbus-run', join(project, 'bin')], ['../bin/jobbus-run', join(project, 'src')]] as const) {
    t.true(answers(await t.context.run(ASK, {program, cwd})), program);
  }
});

test('by a relative path from a directory that is removed, it says what is wrong; by its full path it runs', async t => {
  symlinkSync(project, join(t.context.base, 'project'));
  const inRemoved = async (program: string): ReturnType<typeof t.context.run> =>
    t.context.run(['-c', 'mkdir removed && cd removed && rmdir ../removed && shift && exec "$0" "$@"', program, 'sh', ...ASK], {program: '/bin/sh', cwd: t.context.base});
  const {code, stdout, stderr} = await inRemoved('../project/bin/jobbus-run');
  t.is(code, 125);
  t.is(stdout, '');
  t.regex(stderr, /^jobbus-run: finding \.\.\/project\/bin\/jobbus-run from the current directory failed: that is removed or out of reach; call it by its full path\n$/m);
  t.like(await inRemoved(join(project, 'bin/jobbus-run')), {code: 0}); // On stderr are words of /bin/sh's own.
});

test('sh finds it by its bare name as a script', async t => {
  t.true(answers(await t.context.run(['jobbus-run', ...ASK], {program: '/bin/sh', cwd: join(project, 'bin')})));
});
