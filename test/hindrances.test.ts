/** `--doctor` where it matters most: the cause has a row of its own, and what to do is about that. */

import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {needsRoot, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {installFor} from './helpers/nobody.js';
import {startNode} from './helpers/own-node.js';

useBench();

/** No user of the machine. */
const STRANGER = '54321';

/** The topics of the rows that fail; their texts; and what is to be done. */
function failing({stdout}: Result): {readonly topics: string[]; readonly text: string; readonly toDo: string} {
  const rows = stdout.split('\n').filter(line => line.startsWith('!! '));
  return {topics: rows.map(row => row.slice(3, 17).trim()), text: rows.map(row => row.slice(18)).join('\n'), toDo: stdout.split('\n').at(-2)!};
}

async function asStranger(bench: Bench, prefix: readonly string[] = []): Promise<Result> {
  const words = ['--reuid', STRANGER, '--regid', STRANGER, '--clear-groups', ...prefix, installFor(bench), '--doctor'];
  return bench.run(words, {program: 'setpriv', environment: {HOME: '/nowhere', JOBBUS_RUNTIME_BASE: '/tmp'}});
}

needsRoot('a user whom the node does not know', async t => {
  const result = await asStranger(t.context);
  const {topics, text, toDo} = failing(result);
  t.deepEqual(topics, ['user', 'trial run']);
  t.regex(text, /^user 54321 has no entry in passwd, which a dbus-daemon needs\n/);
  t.regex(toDo, /^To do: have this node know the user \(getent passwd\)/);
  t.is(result.code, 1);
});

needsRoot('a limit of processes', async t => {
  const result = await asStranger(t.context, ['prlimit', '--nproc=1']);
  const {topics, text, toDo} = failing(result);
  t.deepEqual(topics, ['processes', 'dbus-daemon', 'trial run']);
  t.regex(text, /^this user has \d+, threads counted, and may have 1; a run needs some 10\nstarting \/usr\/bin\/dbus-daemon failed: no more processes/);
  t.is(toDo, 'To do: raise the limit of processes (ulimit -u), or end some.');
  t.is(result.code, 1);
});

needsRoot('a /tmp that is full, where nothing else serves', async t => {
  const node = await startNode(t, 'mount -t tmpfs -o size=4k,mode=1777 none /tmp; echo x >/tmp/full; mount --bind /tmp /dev/shm');
  const result = await node.run(['--doctor']);
  t.regex(result.stdout, /\n-- base +\/tmp: no space left on device\n/);
  t.is(failing(result).toDo, 'To do: make room in /tmp, or name a usable directory with --runtime-base.');
  t.is(result.code, 1);
});

for (const [library, words, program] of [
  ['libc.so.6', [], '/bin/sh'],
  ['libdbus-1.so.3', ['--dbus-daemon', '/usr/bin/dbus-daemon'], '/usr/bin/dbus-daemon'],
] as const) {
  test(`a LD_LIBRARY_PATH with a ${library} that is none`, async t => {
    const directory = join(t.context.base, 'libraries');
    mkdirSync(directory);
    writeFileSync(join(directory, library), 'none\n');
    const result = await t.context.run(['--doctor', ...words], {environment: {LD_LIBRARY_PATH: directory}});
    const {topics, text, toDo} = failing(result);
    t.is(topics[0], 'libraries');
    t.true(text.startsWith(`${program} does not run with LD_LIBRARY_PATH: ${program}: error while loading shared libraries: ${directory}/${library}: `), text);
    t.is(toDo, 'To do: unset LD_LIBRARY_PATH, or see what is there.');
    t.is(result.code, 1);
  });
}

test('a LD_LIBRARY_PATH that does no harm has no row, nor has one that the daemon does not get', async t => {
  const directory = join(t.context.base, 'libraries');
  mkdirSync(directory);
  writeFileSync(join(directory, 'libdbus-1.so.3'), 'none\n');
  const result = await t.context.run(['--doctor'], {environment: {LD_LIBRARY_PATH: directory}});
  t.deepEqual(failing(result).topics, []);
  t.is(result.code, 0);
});

test('with --json, all of it is one value', async t => {
  const parsed = async (words: readonly string[]): Promise<unknown> => {
    const {code, stdout, stderr} = await t.context.run(['--doctor', '--json', ...words]);
    t.is(stderr, '');
    return {code, ...(JSON.parse(stdout) as object)};
  };
  const well = (await parsed([])) as {findings: Array<{mark: string; topic: string; text: string}>};
  t.like(well, {code: 0, well: true, toDo: null});
  t.deepEqual(well.findings.map(({mark, topic}) => `${mark} ${topic}`), ['good jobbus-run', 'good dbus-daemon', 'good base', 'note scheduler', 'note share', 'note sessions', 'good trial run']);
  t.like(await parsed(['--runtime-base', '/nowhere/\u001B[2J']), {code: 1, well: false, toDo: 'name a usable directory with --runtime-base', findings: {2: {mark: 'note', topic: 'base', text: '/nowhere/\u001B[2J: no such file or directory'}}});
});
