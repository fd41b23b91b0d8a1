/** The launcher finds a Node that serves, or says in one line why it has none. */

import {chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {arch} from 'node:os';
import {join} from 'node:path';
import {binary, fixture, test, useBench} from './helpers/jobbus.js';

useBench();

const SHELLS = {dash: '/usr/bin/dash', bash: '/bin/bash', busybox: '/bin/busybox'} as const;

/** Another shell is /bin/sh for the words after it. */
const WITH_SHELL = ['-m', '/bin/sh', '-c', 'mount --bind "$1" "$(readlink -f /bin/sh)" && shift && exec "$@"', 'sh'];
const UNSHARE = process.getuid!() === 0 ? WITH_SHELL : ['-r', ...WITH_SHELL];

/** An ELF header and nothing else, of a machine that this is not. */
function foreignExecutable(): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(arch() === 'arm64' ? 62 : 183, 18);
  header.writeUInt32LE(1, 20);
  header.writeUInt16LE(64, 52);
  return header;
}

const NOT_A_FILE = /^jobbus-run: running Node from JOBBUS_NODE=.* failed: it is not an executable file; name another\n$/;
const UNABLE = (reason: string): RegExp => new RegExp(`^jobbus-run: running Node at .* failed: ${reason}; name another in JOBBUS_NODE\\n$`);

/** A shell's words for a name that it looks for on PATH; the second where it may not look into all of that. */
const NO_COMMAND = '((command )?not found|Permission denied)';

const MAKERS: Readonly<Record<string, readonly [make: (path: string) => void, expected: RegExp]>> = {
  'is not there': [() => {}, NOT_A_FILE],
  'is a directory': [path => mkdirSync(path), NOT_A_FILE],
  'may not be executed': [path => writeFileSync(path, '#!/bin/sh\n'), NOT_A_FILE],
  'is a link to nowhere': [path => symlinkSync('/nowhere', path), NOT_A_FILE],
  'is a text': [path => executable(path, 'hello\n'), UNABLE(`.*hello: ${NO_COMMAND}`)],
  'is empty': [path => executable(path, ''), UNABLE('')],
  'has no interpreter': [path => executable(path, '#!/nowhere\n'), UNABLE('.*')],
  'is of another machine': [path => executable(path, foreignExecutable()), UNABLE(`.*(Exec format error|syntax error.*|${NO_COMMAND})`)],
  'needs a newer glibc': [path => executable(path, altered('GLIBC_2.28', 'GLIBC_9.99')), UNABLE("[^:]*: version `GLIBC_9.99' not found .*")],
  'needs a library that is missing': [path => executable(path, altered('libstdc++.so.6', 'libabsent.so.6')), UNABLE('error while loading shared libraries: libabsent.*')],
};

/** The tests' own Node, needing something else. */
function altered(name: string, other: string): Buffer {
  const node = readFileSync(process.execPath);
  for (let at = node.indexOf(`\0${name}\0`); at !== -1; at = node.indexOf(`\0${name}\0`, at)) {
    node.write(other, at + 1);
  }

  return node;
}

function executable(path: string, content: string | Buffer): void {
  writeFileSync(path, content);
  chmodSync(path, 0o755);
}

for (const [shell, file] of Object.entries(SHELLS)) {
  for (const [what, [make, expected]] of Object.entries(MAKERS)) {
    test(`a JOBBUS_NODE that ${what}, with ${shell} as /bin/sh`, async t => {
      const node = join(t.context.base, 'node');
      make(node);
      const {code, stdout, stderr} = await t.context.run([...UNSHARE, file, binary, '--', 'true'], {program: 'unshare', environment: {JOBBUS_NODE: node}});
      t.is(code, 125);
      t.is(stdout, '');
      t.regex(stderr, expected);
    });
  }
}

for (const [shell, file] of Object.entries(SHELLS)) {
  // One after the other: the numbers of two would add up, and seldom lose a digit.
  test.serial(`what is recorded is right while the numbers around it change, with ${shell} as /bin/sh`, async t => {
    const changing = t.context.start([], {program: fixture('queues-signals')});
    await changing.line(/^ready$/);
    for (let launch = 0; launch < 8; launch++) {
      const {code, stderr} = await t.context.run([...UNSHARE, file, binary, '--verbose', '--', 'true'], {program: 'unshare'});
      t.is(code, 0);
      t.notRegex(stderr, /what the launcher recorded/);
    }

    process.kill(changing.pid, 'SIGKILL');
    await changing.result;
  });
}

test('no Node anywhere', async t => {
  const {code, stdout, stderr} = await t.context.run(['--', 'true'], {environment: {PATH: t.context.base}});
  t.is(code, 125);
  t.is(stdout, '');
  t.regex(stderr, /^jobbus-run: looking for Node on PATH failed: there is none; .*\n$/);
});

test('a Node that is too old', async t => {
  const preload = join(t.context.base, 'old.cjs');
  writeFileSync(preload, 'Object.defineProperty(process, "versions", {value: {...process.versions, node: "18.20.8"}});\n');
  const node = join(t.context.base, 'node');
  executable(node, `#!/bin/sh\nexec '${process.execPath}' --require '${preload}' "$@"\n`);
  const {code, stdout, stderr} = await t.context.run(['--', 'true'], {environment: {JOBBUS_NODE: node}});
  t.is(code, 125);
  t.is(stdout, '');
  t.regex(stderr, /^jobbus-run: running on Node 18\.20\.8 \(.*\) failed: Node 20\.9 or later is needed; .*\n$/);
});
