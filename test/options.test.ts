import test from 'ava';

// The bundler gives the version.
Object.assign(globalThis, {VERSION: '0'});
const {parseOptions} = await import('../src/options.js');

function options(words: string[], environment: Record<string, string> = {}): Record<string, unknown> {
  const parsed = parseOptions(words, environment);
  return parsed.ok ? {...parsed.value} : {failure: parsed.failure.kind === 'usage' ? parsed.failure.problem : parsed.failure.kind};
}

const DEFAULTS = {
  mode: 'run',
  command: ['true'],
  runtimeBase: undefined,
  busOnly: false,
  dbusDaemon: undefined,
  configFile: undefined,
  services: true,
  killAfter: undefined,
  stopTimeout: 1000,
  keep: false,
  verbose: false,
};

const cases: ReadonlyArray<[words: string, expected: Record<string, unknown>, environment?: Record<string, string>]> = [
  ['true', {}],
  ['-- true', {}],
  ['-- -v', {command: ['-v']}],
  ['python -c 1 --keep', {command: ['python', '-c', '1', '--keep']}],
  ['true -- x', {command: ['true', '--', 'x']}],
  ['-v true', {verbose: true}],
  ['--verbose --keep --bus-only --no-services true', {verbose: true, keep: true, busOnly: true, services: false}],
  ['--kill-after 1.5 --stop-timeout=0 true', {killAfter: 1500, stopTimeout: 0}],
  ['--runtime-base /a --dbus-daemon=/b --config-file /c=d true', {runtimeBase: '/a', dbusDaemon: '/b', configFile: '/c=d'}],
  ['--runtime-base -- true', {runtimeBase: '--'}],
  ['true', {runtimeBase: '/e', dbusDaemon: 'd', verbose: true}, {JOBBUS_RUNTIME_BASE: '/e', JOBBUS_DBUS_DAEMON: 'd', JOBBUS_VERBOSE: '1'}],
  ['--runtime-base /o true', {runtimeBase: '/o'}, {JOBBUS_RUNTIME_BASE: '/e'}],
  ['true', {}, {JOBBUS_RUNTIME_BASE: '', JOBBUS_VERBOSE: '0'}],
  ['-', {command: ['-']}],
];

for (const [words, expected, environment] of cases) {
  test(`options: ${words} ${JSON.stringify(environment ?? {})}`, t => {
    t.deepEqual(options(words.split(' '), environment), {...DEFAULTS, ...expected});
  });
}

test('options: a syntax makes it a shell\'s session, before or behind the others', t => {
  const defaults = Object.fromEntries(Object.entries(DEFAULTS).filter(([name]) => !['command', 'killAfter'].includes(name)));
  const expected = {...defaults, mode: 'shell', syntax: 'fish', keep: true};
  t.deepEqual(options(['--fish-syntax', '--keep']), expected);
  t.deepEqual(options(['--keep', '--fish-syntax', '--']), expected);
  t.deepEqual(options(['-v', '--runtime-base', '/a', '--stop']), {mode: 'stop', runtimeBase: '/a', verbose: true});
});

const mistakes: ReadonlyArray<[words: string[], problem: string]> = [
  [[], 'no command was given'],
  [['--'], 'no command was given'],
  [['-x', 'true'], 'unknown option "-x"'],
  [['--keep=yes', 'true'], 'unknown option "--keep=yes"'],
  [['--constructor', 'true'], 'unknown option "--constructor"'],
  [['--kill-after'], 'option --kill-after needs a value'],
  [['--kill-after', 'soon', 'true'], 'option --kill-after needs a number of seconds, and "soon" is not one'],
  [['--stop-timeout=-1', 'true'], 'option --stop-timeout needs a number of seconds, and "-1" is not one'],
  [['--sh-syntax', 'true'], '--sh-syntax is for the calling shell, and takes no command such as "true"'],
  [['--kill-after', '1', '--csh-syntax'], '--csh-syntax is for the calling shell, and takes no --kill-after'],
  [['--stop', '--keep'], '--stop comes last, and not before "--keep"'],
  [['--runtime-base=', 'true'], 'option --runtime-base needs a value that is not empty'],
];

for (const [words, problem] of mistakes) {
  test(`options: mistake ${words.join(' ')}`, t => {
    t.deepEqual(options(words), {failure: problem});
  });
}
