/** What the frame's launcher cannot do is told in one line, with 125. */

import {execFileSync} from 'node:child_process';
import {chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {smallFrameTest, plant, type Frame} from './helpers/frame.js';
import {fixture, needsRoot, useBench} from './helpers/jobbus.js';

useBench();

interface Failure {
  readonly arrange?: (frame: Frame) => void;
  /** Words in front of the program. */
  readonly prefix?: readonly string[];
  readonly line: RegExp;
}

/** An ELF file for a machine that there is not. */
function forAnotherMachine({program, supervisor}: Frame): void {
  const bytes = readFileSync(program);
  bytes.writeUInt16LE(0xfff0, 18);
  writeFileSync(supervisor, bytes);
}

function asFifo({supervisor}: Frame): void {
  rmSync(supervisor);
  execFileSync('mkfifo', ['-m', '755', supervisor]);
}

const withLimit = (limit: string): readonly string[] => ['/usr/bin/prlimit', limit];
const withFault = (...faults: readonly string[]): readonly string[] => ['/usr/bin/strace', '-D', '-o', '/dev/null', ...faults.flatMap(fault => ['-e', `inject=${fault}`])];

const FAILURES: Readonly<Record<string, Failure>> = {
  'no supervisor': {arrange: ({supervisor}) => rmSync(supervisor), line: /^starting .*supervisor failed: No such file or directory; unpack the archive whole/},
  'a supervisor that may not be executed': {arrange: ({supervisor}) => chmodSync(supervisor, 0o644), line: /^starting .* failed: Permission denied; make it executable/},
  'a supervisor for another machine': {arrange: forAnotherMachine, line: /^starting .* failed: Exec format error; unpack the archive for this machine/},
  ...Object.fromEntries([0, 100, 5000, -1].map(length => [
    `a supervisor of an archive that was half unpacked, ${length} bytes`,
    {arrange: ({supervisor}: Frame) => writeFileSync(supervisor, readFileSync(supervisor).subarray(0, length)), line: /^starting \S+ failed: the file is not whole; unpack the archive again, where there is room for it$/},
  ])),
  // Limited, lest it wait for a writer.
  'a FIFO in the supervisor\'s place': {arrange: asFifo, prefix: ['/usr/bin/timeout', '-s', 'KILL', '10'], line: /^starting \S+ failed: the file is not whole; unpack the archive again/},
  'no memory for the supervisor': {prefix: withFault('execve:error=ENOMEM:when=1'), line: /^starting .* failed: Cannot allocate memory; free memory/},
  'arguments that are too long': {prefix: withFault('execve:error=E2BIG:when=1+'), line: /^starting .* failed: Argument list too long; shorten/},
  'no descriptor': {prefix: [fixture('in-setting'), 'SETTING'], line: /^listing \/proc\/self\/fd failed: Too many open files; raise the limit of open files \(ulimit -n\)$/},
  'address space too small': {prefix: withLimit('--as=2097152000'), line: /^raising the limit of address space failed: the hard limit is 2048000 kB, and 2500000 kB are needed; raise the hard limit \(ulimit -v\)$/},
  'data too small': {prefix: withLimit('--data=1048576000'), line: /^raising the limit of data failed: the hard limit is 1024000 kB, and \d+ kB are needed; raise the hard limit \(ulimit -d\)$/},
  'a stack too small': {prefix: withLimit('--stack=131072'), line: /^raising the limit of the stack failed: the hard limit is 128 kB, and 256 kB are needed; raise the hard limit \(ulimit -s\)$/},
  'a working directory that is gone, and may not be entered': {prefix: withFault('chdir:error=EACCES', 'getcwd:error=ENOENT'), line: /^leaving the working directory failed: No such file or directory; go to one that exists$/},
  'no memory for what the engine compiles': {prefix: withFault('mmap:error=EACCES'), line: /^making memory for code failed: Permission denied; allow memory that can be written and executed/},
  'children in another pid namespace': {prefix: ['/usr/bin/unshare', '--user', '--pid'], line: /^starting jobbus-run failed: its children would be in another pid namespace than itself; call unshare with --fork$/},
  'no /dev/null for a descriptor that is closed': {prefix: ['/bin/sh', '-c', 'exec "$@" <&-', 'sh', ...withFault('open,openat:error=ENOENT:when=1')], line: /^opening \/dev\/null failed: No such file or directory; leave the standard descriptors open/},
};

for (const [title, {arrange, prefix = [], line}] of Object.entries(FAILURES)) {
  smallFrameTest(`one line and 125: ${title}`, async (t, frame) => {
    arrange?.(frame);
    const setting = JSON.stringify({environment: [], descriptors: {}, words: ['/usr/bin/prlimit', '--nofile=3:3', frame.program]});
    const [program = '', ...words] = [...prefix.map(word => word === 'SETTING' ? setting : word), ...(prefix.includes('SETTING') ? [] : [frame.program, '--', 'true'])];
    const {code, stdout, stderr} = await t.context.run(words, {program});
    t.regex(stderr, /^jobbus-run: [^\n]*\n$/);
    t.regex(stderr.slice('jobbus-run: '.length, -1), line);
    t.is(code, 125);
    t.is(stdout, '');
  });
}

smallFrameTest('one line and 125, with the path that is missed: a launcher that was copied alone', async (t, frame) => {
  for (const directory of ['elsewhere', 'else/where']) {
    const copy = join(t.context.base, directory, 'jobbus-run');
    mkdirSync(dirname(copy), {recursive: true});
    copyFileSync(frame.program, copy);
    const missed = join(t.context.base, directory, '../lib/jobbus-run/supervisor');
    t.like(await t.context.run(['--', 'true'], {program: copy}), {code: 125, stdout: '', stderr: `jobbus-run: starting ${missed} failed: No such file or directory; unpack the archive whole: jobbus-run needs lib/jobbus-run/supervisor beside bin\n`});
  }
});

const DEADLINE = ['--sched-runtime', '5000000', '--sched-deadline', '10000000', '--sched-period', '10000000', '0'];

needsRoot('one line and 125: SCHED_DEADLINE, unless it may start others', async t => {
  const {program, shown} = plant(t.context, false);
  const {code, stdout, stderr} = await t.context.run(['--deadline', ...DEADLINE, program, '--', 'true'], {program: 'chrt'});
  t.is(stderr, 'jobbus-run: starting jobbus-run failed: with SCHED_DEADLINE, a process may start no other; put chrt behind jobbus-run --\n');
  t.is(code, 125);
  t.is(stdout, '');
  t.deepEqual(readdirSync(shown), []);
  t.is((await t.context.run(['--reset-on-fork', '--deadline', ...DEADLINE, program, '--', 'true'], {program: 'chrt'})).stderr, '');
  t.not(readdirSync(shown).length, 0);
});

needsRoot('one line and 125: no /proc', async t => {
  const frame = plant(t.context, false);
  const root = join(t.context.base, 'root');
  mkdirSync(root);
  copyFileSync(frame.program, join(root, 'jobbus-run'));
  const {code, stdout, stderr} = await t.context.run([root, '/jobbus-run', '--', 'true'], {program: '/usr/sbin/chroot'});
  t.is(stderr, 'jobbus-run: listing /proc/self/fd failed: No such file or directory; mount /proc\n');
  t.is(code, 125);
  t.is(stdout, '');
});

const EVALUATED: ReadonlyArray<readonly [boolean, readonly string[]]> = [
  [true, ['--sh-syntax']],
  [true, ['--csh-syntax', '-v']],
  [true, ['-v', '--stop']],
  [true, ['--bus', 'value', '--fish-syntax']],
  [true, ['--stop', '--', 'command']],
  [false, []],
  [false, ['--', '--sh-syntax']],
  [false, ['--', 'command', '--stop']],
  [false, ['command', '--stop']],
  [false, ['-v', 'value', 'command', '--stop']],
  [false, ['--stopped']],
  [false, ['-syntax']],
];

for (const [isEvaluated, words] of EVALUATED) {
  smallFrameTest(`a failure ${isEvaluated ? 'is false to a shell' : 'says nothing on stdout'} after ${words.join(' ') || 'no words'}`, async (t, frame) => {
    rmSync(frame.supervisor);
    const {code, stdout} = await t.context.run(words, {program: frame.program});
    t.is(stdout, isEvaluated ? 'false' : '');
    t.is(code, 125);
  });
}

