import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, project, test, useBench} from './helpers/jobbus.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

test('--help is on stdout, and starts nothing', async t => {
  const {code, stdout, stderr} = await t.context.run(['--help', '--', 'echo', 'started']);
  t.is(stderr, '');
  t.is(code, 0);
  t.regex(stdout, /^Usage: jobbus-run /);
  t.notRegex(stdout, /started\n$/);
  for (const option of [
    '--runtime-base', '--bus-only', '--dbus-daemon', '--config-file', '--no-services', '--kill-after', '--stop-timeout', '--keep', '--verbose',
    '--sh-syntax', '--csh-syntax', '--fish-syntax', '--stop', '--help', '--version', 'JOBBUS_RUNTIME_BASE', 'JOBBUS_DBUS_DAEMON', 'JOBBUS_VERBOSE',
  ]) {
    t.true(stdout.includes(option), option);
  }

  t.true(stdout.split('\n').every(line => line.length < 80), 'it fits a terminal');
});

test('--version is that of the package', async t => {
  t.like(await t.context.run(['--version']), {code: 0, stdout: `jobbus-run ${version}\n`, stderr: ''});
});

for (const [what, words, named] of [
  ['an unknown option', ['--nonsense', '--', 'echo', 'started'], '"--nonsense"'],
  ['an unknown letter', ['-x', 'echo', 'started'], '"-x"'],
  ['a value that is missing', ['--kill-after'], '--kill-after'],
  ['a value that is no number', ['--stop-timeout', 'soon', 'echo', 'started'], '"soon"'],
  ['no command', ['--verbose', '--'], 'no command'],
  ['a name that would break the line', ['--a\nb', 'echo', 'started'], '"--a\\nb"'],
] as const) {
  test(`${what} is one line that names it and where to look`, async t => {
    const {code, stdout, stderr} = await t.context.run(words);
    t.is(code, 125);
    t.is(stdout, '');
    t.regex(stderr, /^jobbus-run: .*; see jobbus-run --help\n$/);
    t.true(stderr.includes(named), stderr);
  });
}

test('options end at the first word that is none', async t => {
  t.like(await t.context.run(['echo', '--verbose', '--', '-x']), {code: 0, stdout: '--verbose -- -x\n', stderr: ''});
  t.like(await t.context.run(['--', 'echo', '--', '']), {code: 0, stdout: '-- \n', stderr: ''});
});

test('the words of the command arrive as they are', async t => {
  const words = ['', ' ', 'a b', '*', '$HOME', '"', "'", '\\', 'a\nb', 'é€', '-n', '--', '%s'];
  const {stdout} = await t.context.run(['--', 'printf', '[%s]', ...words]);
  t.is(stdout, words.map(word => `[${word}]`).join(''));
});

test('without --verbose nothing of ours is said', async t => {
  t.like(await t.context.run(['--', 'true']), {code: 0, stdout: '', stderr: ''});
});

for (const [way, words, environment] of [['--verbose', ['--verbose'], {}], ['-v', ['-v'], {}], ['JOBBUS_VERBOSE=1', [], {JOBBUS_VERBOSE: '1'}]] as const) {
  test(`${way} says each step, on stderr alone`, async t => {
    const {code, stdout, stderr} = await t.context.run([...words, '--', 'true'], {environment});
    t.is(code, 0);
    t.is(stdout, '');
    t.regex(stderr, /^(jobbus-run: .*\n){4,}$/);
  });
}

/** Those with which a shell's session begins and ends look for the shell that reads them first. */
const PRINTING = {'--help': 'writing', '--version': 'writing', '--list --json': 'writing', '--doctor': 'writing', '--stop': 'looking', '--sh-syntax': 'looking', '--csh-syntax': 'looking', '--fish-syntax': 'looking'};

for (const [words, tried] of Object.entries(PRINTING)) {
  for (const [where, redirection, reason] of [['to a full device', '>/dev/full', 'no space left on device'], ['to a closed stdout', '>&-', 'it is closed']] as const) {
    test(`what cannot be written ${where} is a failure, and one line: ${words}`, async t => {
      const {code, stdout, stderr} = await t.context.run(['-c', `"$0" ${words} ${redirection}`, binary], {program: '/bin/sh'});
      t.deepEqual({code, stdout}, {code: 125, stdout: ''});
      t.regex(stderr, new RegExp(`^jobbus-run: ${tried === 'writing' ? `writing to stdout failed: ${reason}` : 'looking for the calling shell failed'}.*; .*\n$`));
    });
  }
}

test('what a reader has no more need of ends without a word, as other programs do', async t => {
  for (const words of ['--help', '--version', '--list --json', '--doctor']) {
    const pipe = join(t.context.base, `pipe${words}`);
    const script = `mkfifo "$1"; exec 3<>"$1" 4>"$1" 3<&-; "$0" ${words} >&4`;
    t.like(await t.context.run(['-c', script, binary, pipe], {program: '/bin/sh'}), {code: 141, stderr: ''}, words);
  }
});

test('a list of a session is to be read', async t => {
  t.like(await t.context.run(['--', 'sh', '-c', '"$0" --list >/dev/full', binary]), {code: 125, stderr: 'jobbus-run: writing to stdout failed: no space left on device; send it elsewhere\n'});
});

test('a wrong value of a variable is told with its name', async t => {
  for (const [name, value, words] of [
    ['JOBBUS_RUNTIME_BASE', '/nowhere', /^jobbus-run: making a session directory failed: \/nowhere: no such file or directory; the variable JOBBUS_RUNTIME_BASE names it: change or unset that\n$/],
    ['JOBBUS_DBUS_DAEMON', '/nowhere', /^jobbus-run: using "\/nowhere" as the dbus-daemon failed: it is not an executable file; the variable JOBBUS_DBUS_DAEMON names it: change or unset that\n$/],
    ['JOBBUS_DBUS_DAEMON', '/bin/false', /^jobbus-run: starting \/bin\/false failed: .*; the variable JOBBUS_DBUS_DAEMON names it: change or unset that\n$/],
    ['JOBBUS_VERBOSE', 'maybe', /^jobbus-run: the variable JOBBUS_VERBOSE is to be 1 or 0, yes or no, and not "maybe"; see jobbus-run --help\n$/],
  ] as const) {
    const {code, stderr} = await t.context.run(['--', 'true'], {environment: {[name]: value}});
    t.is(code, 125);
    t.regex(stderr, words);
  }

  const {stderr} = await t.context.run(['--runtime-base', '/nowhere', '--dbus-daemon', '/bin/false', '--', 'true'], {environment: {JOBBUS_DBUS_DAEMON: '/bin/false'}});
  t.regex(stderr, /; name a usable directory with --runtime-base\n$/);
});

const TASKS: ReadonlyArray<[title: string, environment: Record<string, string>, prefix: string]> = [
  ['a task of Slurm', {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0', SLURM_NTASKS: '4', SLURM_PROCID: '3'}, 'jobbus-run[3]: '],
  ['the only task of a step', {SLURM_JOB_ID: '7', SLURM_STEP_ID: '0', SLURM_NTASKS: '1', SLURM_PROCID: '0'}, 'jobbus-run: '],
  ['a batch script', {SLURM_JOB_ID: '7', SLURM_NTASKS: '4', SLURM_PROCID: '0'}, 'jobbus-run: '],
  ['a rank of Open MPI in a batch script', {SLURM_JOB_ID: '7', SLURM_NTASKS: '4', SLURM_PROCID: '0', OMPI_COMM_WORLD_SIZE: '12', OMPI_COMM_WORLD_RANK: '11'}, 'jobbus-run[11]: '],
  ['a rank of PMI', {PMI_SIZE: '2', PMI_RANK: '0'}, 'jobbus-run[0]: '],
  ['a rank that is no number', {PMI_SIZE: '2', PMI_RANK: '0\u001B[2J'}, 'jobbus-run: '],
];

for (const [title, environment, prefix] of TASKS) {
  test(`the lines of several tasks can be told apart: ${title}`, async t => {
    const failing = await t.context.run(['--runtime-base', '/nowhere', '--', 'true'], {environment});
    t.true(failing.stderr.startsWith(`${prefix}making a session directory failed`), failing.stderr);
    const telling = await t.context.run(['-v', '--', 'true'], {environment});
    const lines = telling.stderr.split('\n').slice(0, -1);
    t.deepEqual(lines.filter(line => !line.startsWith(prefix)), []);
    t.is(telling.code, 0);
    t.regex((await t.context.run(['--doctor'], {environment: {...environment, JOBBUS_DBUS_DAEMON: '/bin/false'}})).stdout, /trial run +failed with status 125: starting /);
  });
}
