/** The caller's working directory is the command's, and nothing of ours is in it. */

import {mkdirSync, rmdirSync} from 'node:fs';
import {join} from 'node:path';
import {binary, needsRoot, test, useBench} from './helpers/jobbus.js';

useBench();

needsRoot('a command can unmount the directory in which jobbus-run was called', async t => {
  const place = join(t.context.base, 'place');
  mkdirSync(place);
  const script = 'mount -t tmpfs none "$1"; cd "$1"; exec "$2" -- sh -c \'cd /; umount "$OLDPWD"; exit $?\'';
  t.like(await t.context.run(['--mount', '/bin/sh', '-ec', script, 'sh', place, binary], {program: 'unshare'}), {code: 0, stderr: ''});
  rmdirSync(place);
});

test('in a directory that is removed, the command is there as bare', async t => {
  const results = [];
  for (const wrapper of [[], [binary, '--']]) {
    const place = join(t.context.base, 'place');
    mkdirSync(place);
    const script = 'cd "$1"; rmdir "$1"; shift; exec "$@"';
    const {code, stdout, stderr} = await t.context.run(['-c', script, 'sh', place, ...wrapper, 'readlink', '/proc/self/cwd'], {program: '/bin/sh'});
    results.push({code, stdout, stderr});
  }

  t.like(results[0], {code: 0, stdout: `${join(t.context.base, 'place')} (deleted)\n`});
  t.deepEqual(results[1], results[0]);
});

test('a directory that nobody may search is the command\'s as bare', async t => {
  const place = join(t.context.base, 'place');
  mkdirSync(place);
  const script = 'cd "$1"; chmod 0 .; shift; "$@"; status=$?; chmod 700 "$0"; exit $status';
  const asking = async (...wrapper: readonly string[]): Promise<unknown> => {
    const {code, stdout} = await t.context.run(['-c', script, place, place, ...wrapper, 'readlink', '/proc/self/cwd'], {program: '/bin/sh'});
    return {code, stdout};
  };
  t.deepEqual(await asking(), {code: 0, stdout: `${place}\n`});
  t.deepEqual(await asking(binary, '--'), {code: 0, stdout: `${place}\n`});
  rmdirSync(place);
});
