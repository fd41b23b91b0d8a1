import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {project, test, useBench} from './helpers/jobbus.js';

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
    '--sh-syntax', '--csh-syntax', '--fish-syntax', '--stop', '--help', '--version', 'JOBBUS_RUNTIME_BASE', 'JOBBUS_DBUS_DAEMON', 'JOBBUS_VERBOSE', 'JOBBUS_NODE',
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
