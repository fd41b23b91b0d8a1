import test from 'ava';

// The bundler gives the version.
Object.assign(globalThis, {VERSION: '0'});
const {parseOptions} = await import('../src/cli/parse.js');

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
  keyring: undefined,
  killAfter: undefined,
  signalAll: false,
  signalMap: new Map<number, number>(),
  wait: false,
  stopTimeout: 1000,
  keep: false,
  share: undefined,
  verbose: false,
  sources: {runtimeBase: 'JOBBUS_RUNTIME_BASE', dbusDaemon: 'JOBBUS_DBUS_DAEMON'},
};

const BY_OPTION = {runtimeBase: '--runtime-base', dbusDaemon: '--dbus-daemon'};

const cases: ReadonlyArray<[words: string, expected: object, environment?: Record<string, string>]> = [
  ['true', {}],
  ['-- true', {}],
  ['-- -v', {command: ['-v']}],
  ['python -c 1 --keep', {command: ['python', '-c', '1', '--keep']}],
  ['true -- x', {command: ['true', '--', 'x']}],
  ['-v true', {verbose: true}],
  ['--keyring true', {keyring: {file: undefined}}],
  ['--keyring=/f=g true', {keyring: {file: '/f=g'}}],
  ['--verbose --keep --bus-only --no-services true', {verbose: true, keep: true, busOnly: true, services: false}],
  ['--kill-after 1.5 --stop-timeout=0 true', {killAfter: 1500, stopTimeout: 0}],
  ['--signal-all --wait true', {signalAll: true, wait: true}],
  ['--map-signal USR1:TERM --map-signal=sigusr2: --map-signal 1:RTMIN+2 --map-signal RTMAX-1:SIGKILL --map-signal RTMIN:64 true', {signalMap: new Map([[10, 15], [12, 0], [1, 36], [63, 9], [34, 64]])}],
  ['--runtime-base /a --dbus-daemon=/b --config-file /c=d true', {runtimeBase: '/a', dbusDaemon: '/b', configFile: '/c=d', sources: BY_OPTION}],
  ['--dbus-daemon -- true', {dbusDaemon: '--', sources: {...DEFAULTS.sources, dbusDaemon: '--dbus-daemon'}}],
  ['true', {runtimeBase: '/e', dbusDaemon: 'd', verbose: true}, {JOBBUS_RUNTIME_BASE: '/e', JOBBUS_DBUS_DAEMON: 'd', JOBBUS_VERBOSE: '1'}],
  ['--runtime-base /o true', {runtimeBase: '/o', sources: {...DEFAULTS.sources, runtimeBase: '--runtime-base'}}, {JOBBUS_RUNTIME_BASE: '/e'}],
  ['true', {}, {JOBBUS_RUNTIME_BASE: '', JOBBUS_VERBOSE: '0'}],
  ['--share true', {share: ''}],
  ['--share=a=b true', {share: 'a=b'}],
  ['-', {command: ['-']}],
  ['--kill-after .5 --stop-timeout 5. true', {killAfter: 500, stopTimeout: 5000}],
  ['--kill-after 1000000 --stop-timeout 99999999999999999999 true', {killAfter: 1e9, stopTimeout: Number.MAX_SAFE_INTEGER}],
  ...['1', 'yes', 'true', 'on', 'YES'].map((word): [string, object, Record<string, string>] => ['true', {verbose: true}, {JOBBUS_VERBOSE: word}]),
  ...['no', 'false', 'off'].map((word): [string, object, Record<string, string>] => ['true', {}, {JOBBUS_VERBOSE: word}]),
];

for (const [words, expected, environment] of cases) {
  test(`options: ${words} ${JSON.stringify(environment ?? {})}`, t => {
    t.deepEqual(options(words.split(' '), environment), {...DEFAULTS, ...expected});
  });
}

test('options: a syntax makes it a shell\'s session, before or behind the others', t => {
  const defaults = Object.fromEntries(Object.entries(DEFAULTS).filter(([name]) => !['command', 'killAfter', 'signalAll', 'signalMap', 'wait', 'share'].includes(name)));
  const expected = {...defaults, mode: 'shell', syntax: 'fish', keep: true};
  t.deepEqual(options(['--fish-syntax', '--keep']), expected);
  t.deepEqual(options(['--keep', '--fish-syntax', '--']), expected);
  t.deepEqual(options(['-v', '--runtime-base', '/a', '--stop']), {mode: 'stop', runtimeBase: '/a', verbose: true});
});

const SWEEP = {mode: 'sweep', runtimeBase: undefined, user: undefined, directory: undefined, becomes: false};

const modes: ReadonlyArray<[words: string, expected: object]> = [
  ['--list', {mode: 'list', runtimeBase: undefined, json: false}],
  ['--json -v --list --runtime-base /b', {mode: 'list', runtimeBase: '/b', json: true}],
  ['--doctor --verbose --json', {mode: 'doctor', runtimeBase: undefined, dbusDaemon: undefined, sources: DEFAULTS.sources, verbose: true, json: true}],
  ['--doctor --runtime-base=/b --dbus-daemon d', {mode: 'doctor', runtimeBase: '/b', dbusDaemon: 'd', sources: BY_OPTION, verbose: false, json: false}],
  ['--stop -v --runtime-base /b', {mode: 'stop', runtimeBase: '/b', verbose: true}],
  ['--sweep', SWEEP],
  ['--sweep --verbose /b/d', {...SWEEP, directory: '/b/d'}],
  ['--sweep --uid 1000', {...SWEEP, user: '1000'}],
  ['--uid=jane.doe --sweep', {...SWEEP, user: 'jane.doe'}],
  ['--sweep --uid DOMAIN\\jane --become', {...SWEEP, user: 'DOMAIN\\jane', becomes: true}],
  ['--list --help', {mode: 'help'}],
  ['--keep --version --doctor', {mode: 'version'}],
];

for (const [words, expected] of modes) {
  test(`options: ${words}`, t => {
    t.deepEqual(options(words.split(' ')), expected as Record<string, unknown>);
  });
}

test('options: --join takes a session, and a command as it comes', t => {
  const expected = {mode: 'join', session: '7', command: [], runtimeBase: undefined, busOnly: false, verbose: false, syntax: 'sh'};
  t.deepEqual(options(['--join', '7']), expected);
  t.deepEqual(options(['-v', '--fish-syntax', '--join', '7']), {...expected, verbose: true, syntax: 'fish'});
  t.deepEqual(options(['--bus-only', '--join', '-7', '--', '--', 'x']), {...expected, busOnly: true, session: '-7', command: ['--', 'x']});
  t.deepEqual(options(['--join', '7', 'x', '--', '-v']), {...expected, command: ['x', '--', '-v']});
});

const mistakes: ReadonlyArray<[words: string[], problem: string, environment?: Record<string, string>]> = [
  [['--share=', 'true'], 'option --share needs a value that is not empty'],
  [['--share', '--sh-syntax'], '--sh-syntax is for the calling shell, and takes no --share'],
  [['--join'], 'option --join needs a value'],
  [['--join', ''], 'option --join needs a value that is not empty'],
  [['--join', '7', '--keep', 'x'], '--join is for a session that lives, and takes no --keep'],
  [['--keyring', '--keyring=/f', 'true'], 'option --keyring was given twice'],
  [['--keep=x', 'true'], 'option --keep takes no value'],
  [['--csh-syntax', '--join', '7', 'x'], '--csh-syntax is for the calling shell, and takes no command such as "x"'],
  [[], 'no command was given'],
  [['--'], 'no command was given'],
  [['-x', 'true'], 'unknown option "-x"'],
  [['--keep=yes', 'true'], 'option --keep takes no value'],
  [['--list=x'], 'option --list takes no value'],
  [['--constructor', 'true'], 'unknown option "--constructor"'],
  ...Object.entries({
    '--killafter': '--kill-after', '--kil-after=5': '--kill-after', '--kill': '--kill-after', '--no': '--no-services', '-keep': '--keep', '--kepe': '--keep', '--no-service': '--no-services', '--shsyntax': '--sh-syntax', '--verson': '--version', '--dokter': '--doctor',
  }).map(([word, meant]): [string[], string] => [[word, 'true'], `unknown option "${word}"; did you mean ${meant}?`]),
  ...['---', '--s', '--timeout', '-k'].map((word): [string[], string] => [[word, 'true'], `unknown option "${word}"`]),
  [['--kill-after'], 'option --kill-after needs a value'],
  ...['soon', '5m', '.', '-1', '1e3', ''].map((value): [string[], string] => [['--kill-after', value, 'true'], `option --kill-after needs a number of seconds, and "${value}" is not one`]),
  [['--stop-timeout=-1', 'true'], 'option --stop-timeout needs a number of seconds, and "-1" is not one'],
  [['--sh-syntax', 'true'], '--sh-syntax is for the calling shell, and takes no command such as "true"'],
  [['--kill-after', '1', '--csh-syntax'], '--csh-syntax is for the calling shell, and takes no --kill-after'],
  ...['--signal-all', '--wait', '--map-signal=USR1:TERM'].flatMap((word): Array<[string[], string]> => [
    [[word, '--sh-syntax'], `--sh-syntax is for the calling shell, and takes no ${word.split('=')[0]!}`],
    ...['--list', '--sweep', '--stop', '--doctor'].map((mode): [string[], string] => [[word, mode], `${mode} runs no command, and takes no ${word.split('=')[0]!}`]),
  ]),
  ...['USR1', '', 'USR1:TERM:', 'USR1 TERM'].map((pair): [string[], string] => [['--map-signal', pair, 'true'], `option --map-signal needs two signals, FROM:TO, and ${JSON.stringify(pair)} is not that`]),
  ...['FOO', 'SIG15', '0', '65', 'RTMIN-1', 'RTMAX+1', 'RTMIN+', 'constructor', '+1', '1.0'].flatMap((name): Array<[string[], string]> => [
    [['--map-signal', `${name}:TERM`, 'true'], `option --map-signal knows no signal "${name}"`],
    [['--map-signal', `TERM:${name}`, 'true'], `option --map-signal knows no signal "${name}"`],
  ]),
  [['--map-signal', ':TERM', 'true'], 'option --map-signal knows no signal ""'],
  ...['KILL', 'STOP', 'SEGV', '32', '33'].map((name): [string[], string] => [['--map-signal', `${name}:TERM`, 'true'], `option --map-signal has a FROM that never comes to jobbus-run: SIG${name}`]),
  [['--map-signal', 'USR1:TERM', '--map-signal', '10:', 'true'], 'option --map-signal has a FROM that is named twice: SIGUSR1'],
  [['--sh-syntax', '--csh-syntax'], '--sh-syntax and --csh-syntax exclude each other'],
  [['--list', '--keep', '--sweep'], '--list and --sweep exclude each other'],
  [['--stop', '--fish-syntax'], '--stop and --fish-syntax exclude each other'],
  [['--stop', '--keep'], '--stop runs no command, and takes no --keep'],
  [['--bus-only', '--list'], '--list runs no command, and takes no --bus-only'],
  [['--doctor', 'true'], '--doctor runs no command, and takes no command such as "true"'],
  [['--json'], 'option --json belongs to --doctor or --list'],
  [['--json', 'true'], 'option --json belongs to --doctor or --list'],
  [['--uid', '5', '--list'], 'option --uid belongs to --sweep'],
  [['--uid', '5'], 'option --uid belongs to --sweep'],
  [['--json', '--sh-syntax'], 'option --json belongs to --doctor or --list'],
  [['--sweep', '--uid'], 'option --uid needs a value'],
  ...['-c', 'a:b', 'a b', ''].map((name): [string[], string] => [['--sweep', '--uid', name], `option --uid needs a user's number or name, and "${name}" is neither`]),
  ...[['d'], ['/d', '/e'], ['--uid', '5', '/d'], ['--become'], ['--become', '/d']].map((words): [string[], string] => [['--sweep', ...words], '--sweep takes --uid with a user, or the absolute path of one session directory']),
  ...['base', '.', '--', ''].flatMap((value): Array<[string[], string]> => ['--list', '--sweep', '--stop', '--doctor', 'true'].map(word => [['--runtime-base', value, word], `option --runtime-base needs an absolute path, and "${value}" is not one`])),
  [['true'], 'the variable JOBBUS_VERBOSE is to be 1 or 0, yes or no, and not "maybe"', {JOBBUS_VERBOSE: 'maybe'}],
];

for (const [words, problem, environment] of mistakes) {
  test(`options: mistake ${JSON.stringify(words)}`, t => {
    t.deepEqual(options(words, environment), {failure: problem});
  });
}
