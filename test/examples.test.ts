/** The files of examples/ do what they are for. */

import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {execa} from 'execa';
import {ARCHIVE_TIME, releasedArchive} from './helpers/archive.js';
import {needsRoot, project, test, useBench} from './helpers/jobbus.js';
import {ROOT_DIRECTORY_TIME, rootDirectory} from './helpers/root-directory.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

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

/**
 * In a mount namespace, as podman wants a unified cgroup hierarchy. The base is Debian's by debootstrap, in the place of its image, and the limits that
 * podman would raise are named. The archive is not compressed: podman 4.3 takes a minute to unpack xz.
 */
const BUILD_AND_RUN = `
  base=$1 root=$2 archive=$3
  ! mountpoint --quiet /sys/fs/cgroup || umount --recursive --lazy /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  podman() { command podman --root "$base/storage" --runroot "$base/running" --cgroup-manager=cgroupfs "$@"; }
  {
    tar --create --directory "$root" . | podman import - docker.io/library/debian:bookworm-slim
    mkdir "$base/context"
    xz --decompress --stdout "$archive" >"$base/context/$(basename "$archive")"
    podman build --layers=false --isolation=chroot --network=host --pull=never --tag jobbus-run --file examples/Dockerfile "$base/context"
  } >&2
  podman run --rm --network=none --cgroups=disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 jobbus-run sh -c 'test -S "$XDG_RUNTIME_DIR/bus" && echo here; exit 7'`;

needsRoot('podman builds an image by the Dockerfile, in which every command has a session', async t => {
  t.timeout(ROOT_DIRECTORY_TIME + 2 * ARCHIVE_TIME);
  const [root, {file}] = await Promise.all([rootDirectory(), releasedArchive('x64')]);
  const {base} = t.context;
  const words = ['--mount', '/bin/sh', '-euc', BUILD_AND_RUN, 'sh', base, root, file];
  const {code, stdout, stderr} = await t.context.run(words, {program: 'unshare', cwd: project, environment: {HOME: base}});
  t.like({code, stdout}, {code: 7, stdout: 'here\n'}, stderr);
});
