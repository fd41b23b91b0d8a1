/** The command sees of itself what it sees without jobbus-run, but for the documented variables, its pid and its parent. */

import {mkdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {installInto} from './helpers/ground.js';
import {fixture, test, useBench, type Bench} from './helpers/jobbus.js';

useBench();

/** Characters of words and entries are bytes. */
interface Setting {
  readonly prefix?: readonly string[];
  /** Instead of show-self. */
  readonly command?: readonly string[];
  readonly words?: readonly string[];
  readonly environment?: readonly string[];
  readonly ignored?: readonly number[];
  readonly blocked?: readonly number[];
  /** `pipe`, `socket` or a path, by number. */
  readonly descriptors?: Readonly<Record<number, string>>;
  readonly nonblocking?: readonly number[];
  readonly closed?: readonly number[];
  readonly terminal?: boolean;
}

const KILL_AND_STOP = [9, 19];

/** perl, which runs show-self, has a will of its own about CHLD and FPE. */
const SHOW_STATUS = ['/bin/cp', '/proc/self/status', 'shown'];

const ORDINARY = ['PATH=/usr/bin:/bin', 'HOME=/root', 'LANG=C.UTF-8'];

const SETTINGS: Readonly<Record<string, Setting>> = {
  'as it comes': {},
  'exported functions, dots, newlines, equals signs': {
    environment: [...ORDINARY, 'BASH_FUNC_module%%=() {  eval "x\n"\n}', 'a.b=1', 'two=a\nb\n', 'eq=a=b=', 'x-y=', '1=1', ' = '],
  },
  'an empty environment': {environment: []},
  'no PWD, SHLVL, PATH': {environment: ['A=1', 'HOME=/']},
  'PWD, OLDPWD, SHLVL and _ that are wrong': {environment: [...ORDINARY, 'PWD=/nowhere', 'OLDPWD=/', 'SHLVL=7', '_=x']},
  'shell variables': {environment: [...ORDINARY, 'IFS=/', 'OPTIND=3', 'PPID=1', 'PS4=x', 'LINENO=1', 'UID=5', 'RANDOM=1', 'POSIXLY_CORRECT=1', 'ENV=/dev/zero', 'BASH_ENV=/dev/zero', 'CDPATH=/']},
  'what is meant for an engine, or its loader': {
    environment: [...ORDINARY, 'NODE_OPTIONS=--require=/nowhere', 'NODE_EXTRA_CA_CERTS=/nowhere', 'NODE_CHANNEL_FD=5', 'NODE_CHANNEL_SERIALIZATION_MODE=json',
      'NODE_UNIQUE_ID=1', 'NODE_ICU_DATA=/nowhere', 'NODE_V8_COVERAGE=/nowhere/x', 'OPENSSL_CONF=/dev/full', 'NODE_a.b=1',
      'BUN_BE_BUN=1', 'BUN_OPTIONS=--inspect', 'BUN_INSPECT=1', 'BUN_JSC_useJIT=0', 'MALLOC_ARENA_MAX=1', 'GLIBC_TUNABLES=glibc.malloc.check=1'],
    descriptors: {5: 'socket'},
  },
  'values and names that are not UTF-8': {environment: [...ORDINARY, 'raw=\xff\\n\x80\n\n', 'utf=\xc3\xa9', '\xffname=1', 'NODE_X=\xfe', `all=${bytes(1, 255)}`, 'overlong=\xc0\x80\xed\xa0\x80\xf5']},
  'variables of another bus': {
    environment: [...ORDINARY, 'XDG_RUNTIME_DIR=/run/user/7', 'DBUS_SESSION_BUS_ADDRESS=unix:path=/x', 'DBUS_SESSION_BUS_PID=1', 'DBUS_SESSION_BUS_WINDOWID=1', 'DBUS_STARTER_ADDRESS=x', 'DBUS_STARTER_BUS_TYPE=session'],
  },
  'a record of the launcher, set by hand': {environment: ['JOBBUS_LAUNCHER=2:0.1.0:caller:1', ...ORDINARY]},
  'an order of its own, names twice, and what is no variable': {environment: [...ORDINARY, 'b=1', 'a=1', 'c=1', 'twice=1', 'twice=2', 'no equals sign', '=no name']},
  'words: empty, newlines, quotes': {words: ['', ' ', '\n', 'a\n\n', '$x`y`\'"\\', '--', '-v', '*']},
  'words that are not UTF-8': {words: ['\xff', 'x\x80\n\n', '', '\xc3\xa9', bytes(1, 255), '\\0101']},
  'a command with an equals sign in its name': {command: ['./cp=', ...SHOW_STATUS.slice(1)], environment: ['PATH=/usr/bin:/bin', 'a.b=1']},
  'many words': {words: Array.from({length: 3000}, (_, index) => `${index}`)},
  'all signals ignored': {command: SHOW_STATUS, ignored: signals()},
  ...Object.fromEntries(signals().map(number => [`signal ${number} ignored`, {command: SHOW_STATUS, ignored: [number]}])),
  'real-time signals ignored': {command: SHOW_STATUS, ignored: [34, 50, 64]},
  'signals blocked': {command: SHOW_STATUS, blocked: [1, 2, 10, 15, 17, 34, 64]},
  'USR1 blocked and ignored': {command: SHOW_STATUS, blocked: [10], ignored: [10]},
  'under nohup': {prefix: ['/usr/bin/nohup']},
  'limits, niceness, affinity and the rest': {
    prefix: ['/bin/sh', '-c', 'umask 027; ulimit -Sn 77; ulimit -Sc 0; ulimit -Ss 4096; echo 123456 >/proc/self/timerslack_ns; echo 200 >/proc/self/oom_score_adj; exec "$@"', 'sh',
      '/usr/bin/nice', '-n', '5', '/usr/bin/taskset', '-c', '0', '/usr/bin/ionice', '-c', '3', '/usr/bin/chrt', '-b', '0', '/usr/bin/setarch', '-R', '/usr/bin/setpriv', '--no-new-privs'],
  },
  'descriptors 3 to 20, 63 and 200': {
    descriptors: {...Object.fromEntries(Array.from({length: 18}, (_, index) => [index + 3, ['pipe', 'socket', '/dev/null', 'file'][index % 4]!])), 63: 'pipe', 200: 'file'},
    nonblocking: [3, 4, 63],
  },
  'stdin a pipe': {descriptors: {0: 'pipe'}},
  'stdin a file': {descriptors: {0: 'file'}},
  'stdin /dev/null': {descriptors: {0: '/dev/null'}},
  'stdin a socket': {descriptors: {0: 'socket'}},
  'stdin closed': {closed: [0]},
  'stdout closed': {closed: [1]},
  'stderr closed': {closed: [2]},
  'all three closed': {closed: [0, 1, 2]},
  'stdin and stderr closed, 3 to 9 open': {closed: [0, 2], descriptors: {3: 'pipe', 4: 'pipe', 5: 'file', 6: 'pipe', 7: 'pipe', 8: 'pipe', 9: 'socket'}},
  'stdin non-blocking': {descriptors: {0: 'pipe'}, nonblocking: [0]},
  'stdout non-blocking': {descriptors: {1: 'socket'}, nonblocking: [1]},
  'stdin non-blocking, 3 to 9 open': {descriptors: {0: 'pipe', 1: 'pipe', ...Object.fromEntries([3, 4, 5, 6, 7, 8, 9].map(number => [number, 'file']))}, nonblocking: [0]},
  'all three non-blocking': {descriptors: {0: 'pipe', 1: 'file', 2: 'socket', 3: 'pipe', 5: 'pipe', 63: 'pipe'}, nonblocking: [0, 1, 2]},
  'stdin non-blocking, the others closed': {descriptors: {0: 'pipe'}, nonblocking: [0], closed: [1, 2]},
  'a terminal': {terminal: true},
  'a terminal, non-blocking': {terminal: true, nonblocking: [0, 1, 2]},
  'a terminal, under nohup': {terminal: true, prefix: ['/usr/bin/nohup']},
};

const PARENT_DEATH: Setting = {prefix: ['/usr/bin/setpriv', '--pdeathsig', 'TERM']};

test('nothing differs', async t => {
  t.timeout(300_000);
  t.deepEqual(await differences(t, install(t.context), SETTINGS), {});
});

test('nothing differs for what joins a session, not even the signal at the death of its parent', async t => {
  t.timeout(300_000);
  const [launcher = ''] = install(t.context);
  const run = t.context.start(['--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null']);
  t.deepEqual(await differences(t, [launcher, '--join', await run.line(/^\//)], {...SETTINGS, 'a signal at the death of its parent': PARENT_DEATH}), {});
  process.kill(run.pid, 'SIGTERM');
  await run.result;
});

test('the signal at the death of its parent is lost, and nothing else: it stays with jobbus-run itself', async t => {
  const {lost, gained} = await difference(t, install(t.context), PARENT_DEATH);
  t.deepEqual([...lost, ...gained].map(line => line.split(':')[0]), ['parent death', 'parent death']);
});

function bytes(first: number, last: number): string {
  return Array.from({length: last - first + 1}, (_, index) => String.fromCharCode(first + index)).join('');
}

function signals(): number[] {
  return Array.from({length: 31}, (_, index) => index + 1).filter(number => !KILL_AND_STOP.includes(number));
}

/** @returns words that start a run */
function install({base}: Bench): string[] {
  const launcher = installInto(join(base, 'installation'));
  mkdirSync(join(base, 'work'));
  symlinkSync(SHOW_STATUS[0]!, join(base, 'work/cp='));
  return [launcher, '--runtime-base', base];
}

/** IN-SETTING BARE WRAPPED [IN-TERMINAL] */
const IN_TURN = '${4:+"$4"} "$1" "$2" && mv shown bare && ${4:+"$4"} "$1" "$3" && mv shown wrapped';

interface Difference {
  readonly lost: readonly string[];
  readonly gained: readonly string[];
}

async function differences(t: ExecutionContext<Bench>, starter: readonly string[], settings: Readonly<Record<string, Setting>>): Promise<Record<string, Difference>> {
  const found: Record<string, Difference> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const {lost, gained} = await difference(t, starter, setting);
    if (lost.length + gained.length > 0) {
      found[name] = {lost, gained};
    }
  }

  return found;
}

/** @param starter the words in front of the command, but for `--` */
async function difference(t: ExecutionContext<Bench>, starter: readonly string[], setting: Setting): Promise<Difference> {
  const {base} = t.context;
  const directory = join(base, 'work');
  const file = join(base, 'file');
  writeFileSync(file, 'some text\n');
  const descriptors = Object.fromEntries(Object.entries(setting.descriptors ?? {}).map(([number, kind]) => [number, kind === 'file' ? file : kind]));
  const command = setting.command ?? [fixture('show-self'), ...(setting.words ?? ['word'])];
  const specifications = [command, [...starter, '--', ...command]].map(words =>
    JSON.stringify({environment: ORDINARY, ...setting, descriptors, words: [...(setting.prefix ?? []), ...words]}));
  const {code, stderr, stdout} = await t.context.run(
    ['-s', 'KILL', '60', '/bin/sh', '-c', IN_TURN, 'sh', fixture('in-setting'), ...specifications, ...(setting.terminal ? [fixture('in-terminal')] : [])],
    {program: '/usr/bin/timeout', cwd: directory},
  );
  t.is(code, 0, `${stderr}${stdout} ${JSON.stringify(setting)}`);
  t.is(stderr.replace(/^nohup: .*\n/gm, ''), '');
  const bare = readShown(join(directory, 'bare')).filter(line => !CHANGED.test(line));
  const wrapped = readShown(join(directory, 'wrapped'));
  t.deepEqual(wrapped.filter(line => CHANGED.test(line)).map(line => line.replaceAll(/nojob-\w+/g, 'NAME').replace(/jobbus-\d+/, 'jobbus-UID').replaceAll(base, 'BASE')),
    setting.command === undefined ? GIVEN : []);
  const kept = wrapped.filter(line => !CHANGED.test(line));
  return {lost: bare.filter(line => !kept.includes(line)), gained: kept.filter(line => !bare.includes(line))};
}

const GIVEN = [
  String.raw`environ: DBUS_SESSION_BUS_ADDRESS=unix:path=BASE/jobbus-UID/NAME/bus\x00`,
  String.raw`environ: XDG_RUNTIME_DIR=BASE/jobbus-UID/NAME\x00`,
];

const CHANGED = /^environ: (XDG_RUNTIME_DIR|DBUS_SESSION_BUS_(ADDRESS|PID|WINDOWID)|DBUS_STARTER_(ADDRESS|BUS_TYPE))=/;

/** The process's own numbers, and what the kernel counts of memory, time and open files. */
const NOISE = /^(Name|State|Pid|Tgid|PPid|NStgid|NSpid|FDSize|Vm\w+|Rss\w+|SigQ|\w*ctxt_switches):/;

/** The lines, sorted; numbers that each run has of its own become the order in which they appear. */
function readShown(file: string): string[] {
  const seen = new Map<string, number>();
  const number = (text: string): string => `#${seen.get(text) ?? seen.set(text, seen.size).get(text)!}`;
  const lines = readFileSync(file, 'latin1').trimEnd().split('\n');
  const names = lines.filter(line => line.startsWith('environ: ') && !CHANGED.test(line)).map(line => line.slice('environ: '.length).split('=')[0]);
  return [...lines, `order: ${names.join(' ')}`].sort().filter(line => !NOISE.test(line)).map(line => line
    .replaceAll(/(?<=(?:pipe|socket):\[)\d+/g, number)
    .replaceAll(/(?<=\/dev\/pts\/.*ino:\\x09)\d+|(?<=\/dev\/pts\/|^stat terminal: )\d+/g, text => text === '0' && line.startsWith('stat') ? text : '#')
    .replaceAll(/(?<=ino:\\x09)\d{4,}/g, number)
    .replaceAll(/(?<=^(?:stat (?:group|session|foreground): |NS(?:pgid|sid):\t))[1-9]\d*/g, number));
}
