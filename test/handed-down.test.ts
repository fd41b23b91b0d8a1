/** What the caller hands down, where there is no room beside it, or no name for it. */

import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {binary, fixture, test, useBench} from './helpers/jobbus.js';
import {processesWith} from './helpers/processes.js';
import {withService} from './helpers/sessions.js';

useBench();

/** A program in a setting, as fixtures/in-setting takes it; a character is a byte. */
function inSetting(setting: Record<string, unknown>, environment: Readonly<Record<string, string>>): {program: string; words: string[]} {
  const entries = Object.entries(environment).map(entry => entry.join('='));
  return {program: fixture('in-setting'), words: [JSON.stringify({environment: entries, ...setting})]};
}

const ALL_TAKEN = Object.fromEntries([3, 4, 5, 6, 7, 8, 9].map(number => [number, '/dev/null']));

for (const [what, descriptors, limit, ask] of [
  ['descriptors 3 to 9, all in use', ALL_TAKEN, [], 'readlink /proc/self/fd/3 /proc/self/fd/6 /proc/self/fd/9'],
  ['a descriptor above the hard limit of files', {200: '/dev/null'}, ['/usr/bin/prlimit', '--nofile=64:64'], 'readlink /proc/self/fd/200'],
] as const) {
  test(`${what}: the command has them as bare`, async t => {
    const results = [];
    for (const wrapper of [[], [binary, '--']]) {
      const words = [...limit, ...wrapper, '/bin/sh', '-c', ask];
      const {program, words: setting} = inSetting({descriptors, words}, t.context.environment);
      const {code, stdout, stderr} = await t.context.run(setting, {program});
      results.push({code, stdout, stderr});
    }

    t.like(results[0], {code: 0, stderr: ''});
    t.deepEqual(results[1], results[0]);
  });
}

/** Of bytes that are no UTF-8, and with names that no shell takes. */
const DELICATE = ['NOT_UTF8=\xff\xfe', '\xff=1', 'with.dot=secret-of-a-name'];

test('variables that are not UTF-8, and odd names, reach services, and are seen with ps nowhere', async t => {
  const file = join(t.context.base, 'environment');
  const service = withService(t.context, 'org.example.Environment', `${fixture('copies-environ')} ${file}`);
  const call = 'dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Environment uint32:0';
  const environment = Object.entries({...t.context.environment, ...service}).map(entry => entry.join('='));
  const go = join(t.context.base, 'go');
  const words = [binary, '--', '/bin/sh', '-c', `${call}; ${fixture('waits-for-file')} ${file} >&2; exec ${fixture('waits-for-file')} ${go}`];
  const run = t.context.start([JSON.stringify({environment: [...environment, ...DELICATE], words})], {program: fixture('in-setting')});
  await run.line(/^ready$/);
  const seen = processesWith(t.context.mark).filter(view => view.words.some(word => /secret-of-a-name|\ufffd/.test(word)));
  writeFileSync(go, '');
  t.is((await run.result).code, 0);
  const entries = readFileSync(file, 'latin1').split('\0');
  t.deepEqual(DELICATE.filter(entry => !entries.includes(entry)), []);
  t.deepEqual(seen, []);
});

/** What would make another program of an engine, a loader or an allocator. */
const MEANT_FOR_ENGINES = [
  'BUN_BE_BUN=1', 'BUN_OPTIONS=--print 1', 'BUN_CONFIG_VERBOSE_FETCH=1', 'BUN_JSC_dumpOptions=2', 'BUN_INSPECT=ws://127.0.0.1:1/x', 'JSC_dumpOptions=2', 'LD_PRELOAD=/nowhere.so',
  'LD_LIBRARY_PATH=/nowhere', 'MALLOC_CONF=abort:true', 'MIMALLOC_VERBOSE=1', 'NODE_OPTIONS=--nonsense', 'DOTENV=environment',
];

test('what would mean something to the engine, in the environment or in the directory, reaches the command, and never us', async t => {
  writeFileSync(join(t.context.base, '.env'), 'DOTENV=file\n');
  writeFileSync(join(t.context.base, 'bunfig.toml'), 'preload = ["./nowhere.ts"]\n');
  const environment = [...Object.entries(t.context.environment).map(entry => entry.join('=')), ...MEANT_FOR_ENGINES];
  const results = [];
  for (const wrapper of [[], [binary, '--']]) {
    const file = join(t.context.base, `environment-${wrapper.length}`);
    const {code, stdout, stderr} = await t.context.run([JSON.stringify({environment, words: [...wrapper, fixture('copies-environ'), file]})], {program: fixture('in-setting'), cwd: t.context.base});
    results.push({code, stdout, stderr, missing: MEANT_FOR_ENGINES.filter(entry => !readFileSync(file, 'latin1').split('\0').includes(entry))});
  }

  t.like(results[0], {code: 0, stdout: '', missing: []});
  t.deepEqual(results[1], results[0]);
});

test('a foreign libdbus does not stop the daemon; its services and the command have what names it', async t => {
  const libraries = join(t.context.base, 'libraries');
  mkdirSync(libraries);
  const source = join(libraries, 'empty.c');
  writeFileSync(source, '');
  execFileSync('gcc', ['-shared', '-Wl,-soname,libdbus-1.so.3', '-o', join(libraries, 'libdbus-1.so.3'), source]);
  const file = join(t.context.base, 'environment');
  const environment = {...withService(t.context, 'org.example.Environment', `${fixture('copies-environ')} ${file}`), LD_LIBRARY_PATH: libraries};
  const call = 'env -u LD_LIBRARY_PATH dbus-send --session --type=method_call --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Environment uint32:0';
  const script = `${call}; ${fixture('waits-for-file')} ${file}; echo "$LD_LIBRARY_PATH"; exit 4`;
  t.like(await t.context.run(['--', 'sh', '-c', script], {environment}), {code: 4, stdout: `ready\n${libraries}\n`, stderr: ''});
  t.true(readFileSync(file, 'latin1').split('\0').includes(`LD_LIBRARY_PATH=${libraries}`));
});

test('what a preloaded library prints is evaluated by no shell', async t => {
  const library = join(t.context.base, 'noisy.so');
  const source = '#include <unistd.h>\n__attribute__((constructor)) static void print(void) { (void)!write(1, "echo evaluated\\n", 15); }\n';
  execFileSync('gcc', ['-shared', '-fPIC', '-o', library, '-x', 'c', '-'], {input: source});
  const script = `export LD_PRELOAD="$1"; eval "$("$2" --sh-syntax)"; "$2" --stop >"$3"; unset LD_PRELOAD; echo "$XDG_RUNTIME_DIR"; eval "$("$2" --stop)"; cat "$3"`;
  const {code, stdout, stderr} = await t.context.run(['-c', script, 'sh', library, binary, join(t.context.base, 'said')], {program: 'bash'});
  t.is(code, 0, stderr);
  t.regex(stdout, /^\/.*\n/);
  t.notRegex(stdout, /evaluated/);
});

const LOCK = 'use Fcntl; $^F = 99; open my $file, ">", shift; my $lock = pack "ssx4qqix4", F_WRLCK, 0, 0, 0, 0; my $got = fcntl $file, F_SETLK, $lock;';

const PRCTL = 'use Config; my $prctl = $Config{archname} =~ /^aarch64/ ? 167 : 157';

/** What an execution keeps, and a child has not. What is asked is `yes` without us, and `no` with us. */
const OF_ONE_PROCESS: Readonly<Record<string, readonly [setUp: readonly string[], ask: string]>> = {
  'a lock of fcntl': [['perl', '-e', `${LOCK} exec @ARGV`, 'FILE'], `perl -e '${LOCK} print $got ? "no" : "yes"' "$1"; exit`],
  'leading its session': [['setsid', '--wait'], 'read -r _ _ _ _ _ session _ </proc/$$/stat; [ "$session" = $$ ] && echo yes || echo no'],
  'being a sub-reaper': [
    ['perl', '-e', `${PRCTL}; syscall $prctl, 36, 1; exec @ARGV`],
    `exec perl -e '${PRCTL}; my $is = pack "i", 0; syscall $prctl, 37, $is; print unpack("i", $is) ? "yes" : "no"'`,
  ],
  'a schedule that no child has': [['chrt', '--reset-on-fork', '--other', '0'], 'chrt -p $$ | grep -q RESET && echo yes || echo no'],
  'time that it has used': [['perl', '-e', '1 while (times)[0] < 0.5; exec @ARGV'], 'exec perl -e \'print +(times)[0] < 0.4 ? "no" : "yes"\''],
  'a variable with its pid': [['sh', '-c', 'export LISTEN_PID=$$; exec "$@"', 'sh'], '[ "$LISTEN_PID" = $$ ] && echo yes || echo no'],
};

for (const [what, [setUp, ask]] of Object.entries(OF_ONE_PROCESS)) {
  test(`${what} is not handed down: the command is a child`, async t => {
    const file = join(t.context.base, 'file');
    const [program = '', ...words] = setUp.map(word => word === 'FILE' ? file : word);
    for (const [wrapper, answer] of [[[], 'yes'], [[binary, '--'], 'no']] as const) {
      const {code, stdout, stderr} = await t.context.run([...words, ...wrapper, 'sh', '-c', ask, 'sh', file], {program});
      t.deepEqual({code, stdout: stdout.trim(), stderr}, {code: 0, stdout: answer, stderr: ''});
    }
  });
}

test('a lock of flock is handed down', async t => {
  const script = 'exec 9>"$1"; flock 9; exec "$2" -- sh -c \'flock --nonblock "$1" true || echo locked\' sh "$1"';
  t.like(await t.context.run(['-c', script, 'sh', join(t.context.base, 'file'), binary], {program: 'bash'}), {code: 0, stdout: 'locked\n', stderr: ''});
});
