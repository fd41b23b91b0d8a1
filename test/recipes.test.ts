/** The files of examples/ that other programs read: what is on this machine parses them, or runs them with stand-ins for what is not. */

import {chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {execa} from 'execa';
import {ARCHIVE_TIME, releasedArchive} from './helpers/archive.js';
import {blocksOf} from './helpers/documents.js';
import {binary, project, test, useBench} from './helpers/jobbus.js';

useBench();

const examples = join(project, 'examples');

const read = (name: string): string => readFileSync(join(examples, name), 'utf8');

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

const archive = `jobbus-run-${version}-linux-${process.arch}.tar.xz`;

/** The system's own: python3-yaml is the system's, too. */
const PYTHON = '/usr/bin/python3';

test('each file is told of in the list, and names the version that is built, if any', t => {
  const files = readdirSync(examples, {recursive: true, encoding: 'utf8'}).filter(name => statSync(join(examples, name)).isFile() && name !== 'README.md');
  const list = read('README.md');
  t.deepEqual(files.filter(name => !list.includes(`(${name})`)), []);
  t.deepEqual(files.flatMap(name => Array.from(`${name} ${read(name)}`.matchAll(/\b\d+\.\d+\.\d+\b/g), ([found]) => found)).filter(found => found !== version), []);
});

test('the scripts are clean for shellcheck', async t => {
  await t.notThrowsAsync(execa('shellcheck', ['epilog.sh', 'conda/build.sh'], {cwd: examples}));
});

test('the Dockerfile is the one of the page, and its lines are shell where Docker takes them for that', async t => {
  const lines = read('Dockerfile').split('\n').filter(line => line !== '' && !line.startsWith('#'));
  t.deepEqual(lines, blocksOf('docs/containers.md').find(({language}) => language === 'dockerfile')!.text.split('\n'));
  const instructions = lines.map(line => /^([A-Z]+) (.+)$/.exec(line)!.slice(1) as [string, string]);
  t.deepEqual(instructions.map(([name]) => name), ['FROM', 'RUN', 'ADD', 'RUN', 'ENTRYPOINT']);
  for (const [name, rest] of instructions.filter(([name]) => name === 'RUN')) {
    await t.notThrowsAsync(execa('/bin/sh', ['-n'], {input: rest}), name);
  }

  t.deepEqual(JSON.parse(instructions.at(-1)![1]), ['jobbus-run', '--']);
});

/** Spack's names, of which the directives print what they are told. */
const SPACK = `
import sys, types, os
class Package: pass
def module(name, **names):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(names)
def directive(name):
    return lambda *words, **more: print(name, *words, *(f"{key}={value}" for key, value in more.items()))
for name in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems", "spack"): module(name)
module("spack_repo.builtin.build_systems.generic", Package=Package)
copied = lambda source, target: print("copies", source, target)
module("spack.package", install_tree=copied, **{name: directive(name) for name in ("version", "license", "depends_on")})
names = {}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), names)
package = names["JobbusRun"]
print(os.path.basename(package.url), *package.sanity_check_is_file)
package().install(None, "PREFIX")
`;

const PROGRAMS = ['bin/jobbus-run', 'lib/jobbus-run/supervisor'];

test("the package for Spack takes this version's archive, and copies what is in it", async t => {
  const {stdout} = await execa(PYTHON, ['-c', SPACK, join(examples, 'spack/package.py')]);
  t.deepEqual(stdout.split('\n'), ['license MIT', `version ${version}`, 'depends_on dbus type=run', [archive, ...PROGRAMS].join(' '), 'copies . PREFIX']);
  t.true(PROGRAMS.every(path => statSync(join(project, path)).isFile()));
});

/** What EasyBuild does with its file: it is Python, with a few names. */
const EASYBUILD = `
import json, platform, sys
names = {"SYSTEM": {"name": "system", "version": "system"}, "ARCH": platform.machine()}
known = set(names)
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), names)
parameters = {name: value for name, value in names.items() if name not in known and name[0] != "_" and not name.startswith("local_")}
print(json.dumps({**parameters, "sources": [source % parameters for source in parameters["sources"]]}))
`;

test("the file for EasyBuild has what it must, takes this version's archive, and finds what it installs", async t => {
  const {stdout} = await execa(PYTHON, ['-c', EASYBUILD, join(examples, `jobbus-run-${version}.eb`)]);
  const parameters = JSON.parse(stdout) as Record<string, unknown> & {readonly sanity_check_paths: {readonly files: string[]; readonly dirs: string[]}};
  t.like(parameters, {easyblock: 'Tarball', name: 'jobbus-run', version, sources: [archive], toolchain: {name: 'system'}});
  t.true(['homepage', 'description', 'moduleclass'].every(name => typeof parameters[name] === 'string'));
  t.true(parameters.sanity_check_paths.files.every(path => statSync(join(project, path)).isFile()));
  t.true(parameters.sanity_check_paths.dirs.every(path => statSync(join(project, path)).isDirectory()));
});

async function parseYaml(text: string): Promise<unknown> {
  return JSON.parse((await execa(PYTHON, ['-c', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'], {input: text})).stdout);
}

test('the recipe for conda is of this version, and its script installs what runs', async t => {
  t.timeout(ARCHIVE_TIME);
  const recipe = await parseYaml(read('conda/meta.yaml')) as {readonly source: {readonly url: string}};
  t.like(recipe, {package: {name: 'jobbus-run', version}, build: {binary_relocation: false}, requirements: {run: ['dbus', '__glibc >=2.17']}});
  t.is(recipe.source.url, `jobbus-run-${version}-linux-x64.tar.xz`);
  const prefix = join(t.context.base, 'prefix');
  mkdirSync(prefix);
  await execa(join(examples, 'conda/build.sh'), {cwd: (await releasedArchive()).tree, env: {PREFIX: prefix}});
  t.is((await t.context.run(['--', 'sh', '-c', 'test -S "$XDG_RUNTIME_DIR/bus"'], {program: join(prefix, 'bin/jobbus-run')})).code, 0);
});

const RENDER = 'values = JSON.parse(ARGV[0], object_class: OpenStruct); print ERB.new(STDIN.read, trim_mode: "-").result(values.instance_eval { binding })';

/** What Open OnDemand does with its templates: ERB, where the form's values have names. */
async function render(name: string, values: Readonly<Record<string, unknown>>): Promise<string> {
  const options = {input: read(name), stripFinalNewline: false};
  return (await execa('ruby', ['-r', 'erb', '-r', 'json', '-r', 'ostruct', '-e', RENDER, JSON.stringify(values)], options)).stdout;
}

test('the app for Open OnDemand has the parts of one, and submits what its form asks', async t => {
  const [manifest, form] = await Promise.all(['manifest.yml', 'form.yml'].map(async name => parseYaml(read(`open-ondemand/${name}`))));
  t.like(manifest, {role: 'batch_connect'});
  const {attributes, form: asked} = form as {readonly attributes: Readonly<Record<string, unknown>>; readonly form: readonly string[]};
  t.deepEqual(asked.filter(name => !name.startsWith('bc_')), Object.keys(attributes));
  const submitted = await parseYaml(await render('open-ondemand/submit.yml.erb', {num_cores: '4'}));
  t.deepEqual(submitted, {batch_connect: {template: 'vnc'}, script: {native: ['--nodes=1', '--cpus-per-task=4']}});
});

test("the app's script gives the desktop a session", async t => {
  const {base, environment} = t.context;
  writeFileSync(join(base, 'startxfce4'), '#!/bin/sh\ntest -S "$XDG_RUNTIME_DIR/bus" && echo "a desktop on $DISPLAY"\n', {mode: 0o755});
  const script = join(base, 'script.sh');
  writeFileSync(script, await render('open-ondemand/template/script.sh.erb', {context: {desktop: 'startxfce4'}}));
  chmodSync(script, 0o755);
  const {code, stdout, stderr} = await t.context.run([], {program: script, environment: {PATH: `${base}:${dirname(binary)}:${environment.PATH!}`, DISPLAY: ':7'}});
  t.like({code, stdout, stderr}, {code: 0, stdout: 'a desktop on :7\n', stderr: ''});
  await t.notThrowsAsync(execa('shellcheck', [script]));
});

test('the Epilog is the one of the page, and does not fail', async t => {
  const [, , line] = read('epilog.sh').trimEnd().split('\n');
  t.true(blocksOf('docs/admin.md').some(({text}) => text === line));
  const script = line!.replace('/usr/local/bin/jobbus-run', binary);
  const {code, stdout, stderr} = await t.context.run(['-c', script], {program: '/bin/sh', environment: {SLURM_JOB_UID: 'no-such-user'}});
  t.like({code, stdout}, {code: 0, stdout: ''});
  t.regex(stderr, /^jobbus-run: sweeping as user .*\n$/);
});
