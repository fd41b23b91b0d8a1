/** The files of examples/ do what they are for. */

import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {ARCHIVE_TIME, releasedArchive} from './helpers/archive.js';
import {needsRoot, project, test, useBench} from './helpers/jobbus.js';
import {ROOT_DIRECTORY_TIME, rootDirectory} from './helpers/root-directory.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

/** What Lmod gives a module; each change of the environment is printed. */
const LMOD = `
  function help(text) assert(#text > 0) end
  function whatis(text) assert(text:match("^%a+: %S")) end
  function myModuleVersion() return "${version}" end
  function pathJoin(...) return table.concat({...}, "/") end
  function prepend_path(name, directory) print(name, directory) end`;

test('the module puts jobbus-run on PATH, and changes nothing else', async t => {
  const {stdout} = await execa('lua5.4', ['-e', LMOD, join(project, 'examples/jobbus-run.lua')]);
  t.is(stdout, `PATH\t/opt/jobbus-run/${version}/bin`);
});

interface Definition {
  readonly header: ReadonlyMap<string, string>;
  readonly sections: ReadonlyMap<string, string>;
}

/** Of apptainer: a header of `Key: value`, then sections that begin with `%name`. */
function parseDefinition(text: string): Definition {
  const [head = '', ...parts] = text.replace(/^#.*\n/gm, '').split(/^%/m);
  const header = head.trim().split('\n').map(line => /^(\w+): (\S+)$/.exec(line)!.slice(1) as [string, string]);
  const sections = parts.map(part => /^(\w+)\n([^]*)$/.exec(part)!.slice(1) as [string, string]);
  return {header: new Map(header), sections: new Map(sections)};
}

const definition = parseDefinition(readFileSync(join(project, 'examples/jobbus-run.def'), 'utf8'));

test("apptainer's definition has the parts that it may have, and takes the archive of this version", async t => {
  t.deepEqual([...definition.header.keys()], ['Bootstrap', 'From']);
  t.deepEqual([...definition.sections.keys()], ['files', 'post', 'environment', 'runscript', 'test']);
  const [source] = definition.sections.get('files')!.trim().split(' ');
  t.is(source, `jobbus-run-${version}-linux-x64.tar.xz`);
  for (const name of ['post', 'environment', 'runscript', 'test']) {
    await t.notThrowsAsync(execa('/bin/sh', ['-n'], {input: definition.sections.get(name)!}), name);
  }
});

needsRoot('its script gives a command a session, where the archive was unpacked as it says', async t => {
  t.timeout(ROOT_DIRECTORY_TIME + ARCHIVE_TIME);
  const [root, {tree}] = await Promise.all([rootDirectory(), releasedArchive()]);
  const script = `${definition.sections.get('environment')!}\n${definition.sections.get('runscript')!}`;
  const world = ['--unshare-all', '--ro-bind', root, '/', '--tmpfs', '/opt', '--ro-bind', tree, '/opt/jobbus-run', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'];
  const {code, stdout, stderr} = await t.context.run([...world, 'sh', '-c', script, 'sh', 'sh', '-c', 'test -S "$XDG_RUNTIME_DIR/bus" && echo here'], {
    program: 'bwrap', environment: {JOBBUS_RUNTIME_BASE: ''},
  });
  t.like({code, stdout, stderr}, {code: 0, stdout: 'here\n', stderr: ''});
});
