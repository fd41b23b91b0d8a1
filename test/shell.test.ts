/** A session for the calling shell, in each shell. */

import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {installInto, isKeeper} from './helpers/ground.js';
import {fixture, test, useBench, type Bench} from './helpers/jobbus.js';
import {eventually, isRunning, processesWith, viewProcess} from './helpers/processes.js';
import {nothingLeft} from './helpers/sessions.js';
import {BASH, POSIX_SHELLS, SHELLS, startShell, ZSH} from './helpers/shells.js';

useBench();

const GET_ID = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

/** What shells act on. */
const NASTY = ' two  blanks\t\'quotes"`$HOME`\\ !* {a,b} [c] ~;&<|%d \\n é';

/** Starts the shell with a byte at the end of a variable that is not UTF-8, which only a shell can. */
const SETTING = 'XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR$(printf "\\377"); exec "$@"';

/** The shell says "ready", and waits. */
function waits({base}: Bench): string {
  return `${fixture('waits-for-file')} ${join(base, 'go')}`;
}

function goOn({base}: Bench): void {
  writeFileSync(join(base, 'go'), '');
}

/** Keeper and what it has started, and the daemon. */
function helpersIn({mark}: Bench): readonly string[] {
  return processesWith(mark).filter(view => isKeeper(view) || view.words[0]?.endsWith('dbus-daemon') === true || view.words.join(' ') === 'sleep 1').map(({words}) => words.join(' '));
}

/** Without what shells change as they go. */
function variablesIn(file: string): readonly string[] {
  const entries = readFileSync(file, 'latin1').split('\0');
  return entries.filter(entry => entry !== '' && !/^(_|SHLVL|PWD|OLDPWD|GROUP|HOST\w*|MACHTYPE|OSTYPE|VENDOR|LOGNAME|USER|LINES|COLUMNS)=/.test(entry)).sort();
}

for (const shell of SHELLS) {
  test.serial(`${shell.name}: its variables are set and removed, and by --stop restored, whatever they hold`, async t => {
    const {base} = t.context;
    const dump = (name: string): string => `env -0 >${join(base, name)}`;
    const script = [
      dump('before'), shell.open(), `echo opened ${shell.status}`, dump('during'), GET_ID, 'jobbus-run --list',
      shell.open(), `echo again ${shell.status}`, dump('again'), shell.stop, `echo stopped ${shell.status}`, dump('after'), waits(t.context),
    ].join('\n');
    const run = startShell(t.context, {...shell, words: ['sh', '-c', SETTING, 'sh', ...shell.words]}, script, {environment: {
      XDG_RUNTIME_DIR: shell.takesLineBreaks ? `${NASTY}\n\nlines\n` : NASTY, DBUS_SESSION_BUS_PID: '7', DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere',
    }});
    await run.line(/^ready$/);
    t.deepEqual([...t.context.sessions(), ...helpersIn(t.context)], [], '--stop returns when all is gone');
    goOn(t.context);
    const {code, stdout, stderr} = await run.result;
    t.is(code, 0, stderr);
    t.deepEqual(stdout.match(/\b(opened|again|stopped) \d+$/gm), ['opened 0', 'again 0', 'stopped 0'], stderr);
    t.regex(stdout, /^ +[\da-f]{32}/m, 'the bus answers');
    t.regex(stdout, new RegExp(`^live .* ${run.pid} .* ${shell.words.join(' ')}`, 'm'), '--list shows the shell');
    t.regex(stderr, /^jobbus-run: process \d+ has a session already, .*; nothing was changed; .*\n$/);

    const [before, during, again, after] = ['before', 'during', 'again', 'after'].map(name => variablesIn(join(base, name)));
    const directory = during!.find(entry => entry.startsWith('XDG_RUNTIME_DIR='))!.slice('XDG_RUNTIME_DIR='.length);
    t.true(directory.startsWith(`${base}/jobbus-`), directory);
    const kept = before!.filter(entry => !/^(XDG_RUNTIME_DIR|DBUS_SESSION_BUS_\w+)=/.test(entry));
    t.deepEqual(during, [...kept, `XDG_RUNTIME_DIR=${directory}`, `DBUS_SESSION_BUS_ADDRESS=unix:path=${directory}/bus`].sort());
    t.deepEqual(again, during);
    t.deepEqual(after, before);
  });

  test.serial(`${shell.name}: its exit ends the session and what was started in it, and has its status`, async t => {
    const {code, stderr} = await startShell(t.context, shell, `cd /\n${shell.open()}\nsleep 1000 &\nexit 5`).result;
    t.is(code, 5, stderr);
    t.is(stderr, '');
    if (shell.hasHook) {
      t.deepEqual([...t.context.sessions(), ...processesWith(t.context.mark)], []);
    } else {
      await nothingLeft(t.context.mark, t.context.base);
    }
  });

  test.serial(`${shell.name}: SIGTERM and SIGKILL to it end the session`, async t => {
    const runs = (['SIGTERM', 'SIGKILL'] as const).map(signal => ({signal, run: startShell(t.context, shell, `${shell.open()}\n${waits(t.context)}\nexit 0`)}));
    for (const {signal, run} of runs) {
      await run.line(/^ready$/);
      // bash with a trap on EXIT, told to end in the moment before it waits for what is in the foreground, waits for it all the same.
      await eventually('the shell to wait', () => viewProcess(run.pid)?.state === 'S');
      process.kill(run.pid, signal);
    }

    await nothingLeft(t.context.mark, t.context.base);
    await Promise.all(runs.map(async ({run}) => run.result));
    t.pass();
  });

  test.serial(`${shell.name}: the session goes on with what is executed in the place of the shell`, async t => {
    const run = startShell(t.context, shell, `${shell.open()}\nexec ${fixture('ignores-term')}`);
    await run.line(/^ready/);
    t.is((await t.context.run(['--sweep'])).stdout, '');
    t.regex((await t.context.run(['--list'])).stdout, new RegExp(`^live .* ${run.pid} `, 'm'));
    t.is(t.context.sessions().length, 1);
    process.kill(run.pid, 'SIGKILL');
    await run.result;
    await nothingLeft(t.context.mark, t.context.base);
  });

  test.serial(`${shell.name}: what fails is said in one line, changes nothing, and is a failure there`, async t => {
    const places = {JOBBUS_RUNTIME_BASE: '/nowhere', DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere'};
    const attempts = [shell.open(), shell.open('--nonsense'), shell.open('--kill-after 1'), shell.open('-- true'), shell.stop];
    const script = [...attempts, shell.open()].map((attempt, index) => `${attempt}\necho attempt ${shell.status}\n${index < attempts.length ? '' : 'echo "$DBUS_SESSION_BUS_ADDRESS"'}`).join('\n');
    const {stdout, stderr} = await startShell(t.context, shell, script, {environment: places}).result;
    t.is(stdout, `${'attempt 1\n'.repeat(attempts.length + 1)}unix:path=/nowhere\n`);
    const [place, option, kill, command, session] = stderr.split('\n');
    t.regex(place!, /^jobbus-run: making a session directory failed: \/nowhere: .*; the variable JOBBUS_RUNTIME_BASE names it: change or unset that$/);
    t.regex(option!, /^jobbus-run: unknown option "--nonsense"; see/);
    t.regex(kill!, /^jobbus-run: --\w+-syntax is for the calling shell, and takes no --kill-after; see/);
    t.regex(command!, /^jobbus-run: --\w+-syntax is for the calling shell, and takes no command such as "true"; see/);
    t.regex(session!, /^jobbus-run: ending the session of process \d+ failed: it has none; see jobbus-run --list$/);
    t.is(stderr.split('\n').length, attempts.length + 2);
  });
}

/** Each would make a file, were it evaluated in one of the shells. */
const INJECTION = '\'">p;$(>p)`>p`|>p\\\n;>p&{a,b}*~!';

for (const shell of SHELLS) {
  test.serial(`${shell.name}: nothing in the name of a directory is evaluated, be it the session's or the program's`, async t => {
    const name = shell.takesLineBreaks ? INJECTION : INJECTION.replace('\n', ' ');
    const [place, cwd] = ['place', 'cwd'].map(above => join(t.context.base, above)) as [string, string];
    mkdirSync(cwd);
    installInto(join(place, name));
    mkdirSync(join(t.context.base, name));
    const script = [shell.open(), 'env -0 >../first', shell.stop, 'env -0 >../between', shell.open(), 'env -0 >../second', 'exit 3'].join('\n');
    const environment = {JOBBUS_RUNTIME_BASE: join(t.context.base, name), PATH: `${join(place, name, 'bin')}:${t.context.environment.PATH}`};
    const {code, stderr} = await startShell(t.context, shell, script, {cwd, environment}).result;
    t.deepEqual([code, stderr], [3, '']);
    const [first, between, second] = ['first', 'between', 'second'].map(file => variablesIn(join(t.context.base, file)).find(entry => entry.startsWith('XDG_RUNTIME_DIR=')) ?? '');
    for (const entry of [first, second]) {
      t.true(entry!.startsWith(`XDG_RUNTIME_DIR=${join(t.context.base, name)}/jobbus-`), entry);
    }

    t.is(between, '');
    await nothingLeft(t.context.mark, join(t.context.base, name));
    t.deepEqual(readdirSync(cwd), []);
  });
}

for (const shell of POSIX_SHELLS) {
  test.serial(`${shell.name}: an EXIT trap of before does what it did, behind the end of the session, with the status`, async t => {
    const trap = `trap 'echo "it'\\''s $? in <\${DBUS_SESSION_BUS_ADDRESS-nothing}>"\nls -A ${t.context.base}' EXIT; trap 'echo interrupted' INT`;
    const {code, stdout, stderr} = await startShell(t.context, {...shell, words: [...shell.words, '-eu']}, `${trap}\n${shell.open()}\nkill -INT $$\nexit 5`).result;
    t.deepEqual([code, stdout, stderr], [5, "interrupted\nit's 5 in <nothing>\n", '']);
  });

  test.serial(`${shell.name}: without quotes and under -eu it serves, too`, async t => {
    const script = `eval $(jobbus-run --sh-syntax); ${GET_ID} >/dev/null && echo served; eval $(jobbus-run --stop); echo "\${XDG_RUNTIME_DIR-nothing}"`;
    t.like(await startShell(t.context, {...shell, words: [...shell.words, '-eu']}, script).result, {code: 0, stdout: 'served\nnothing\n', stderr: ''});
  });

  test.serial(`${shell.name}: under -e a failure ends the script`, async t => {
    const {code, stdout} = await startShell(t.context, {...shell, words: [...shell.words, '-e']}, `${shell.open('--nonsense')}\necho on`).result;
    t.deepEqual([code, stdout], [1, '']);
  });

  test.serial(`${shell.name}: an EXIT trap that is set later calls --stop, or leaves it to the keeper`, async t => {
    const stopping = await startShell(t.context, shell, `${shell.open()}\ntrap '${shell.stop}; ls -A ${t.context.base}' EXIT`).result;
    t.like(stopping, {code: 0, stdout: '', stderr: ''});
    await startShell(t.context, shell, `${shell.open()}\ntrap ':' EXIT`).result;
    await nothingLeft(t.context.mark, t.context.base);
  });
}

test.serial('zsh: exit functions of before and later are called', async t => {
  const hooks = (name: string): string => `${name}() { echo ${name}; }; zshexit_functions+=(${name})`;
  const {code, stdout, stderr} = await startShell(t.context, ZSH, `${hooks('before')}\n${ZSH.open()}\n${hooks('later')}\nexit 5`).result;
  t.deepEqual([code, stdout, stderr], [5, 'before\nlater\n', '']);
  t.deepEqual(t.context.sessions(), []);
});

for (const name of ['XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS', 'DBUS_SESSION_BUS_PID']) {
  test.serial(`bash: where ${name} is readonly the line fails, the session ends, and the other variables are as before`, async t => {
    const environment = {XDG_RUNTIME_DIR: '/old', DBUS_SESSION_BUS_ADDRESS: 'old', DBUS_SESSION_BUS_PID: '7'};
    const script = `readonly ${name}; ${BASH.open()}; echo "$? $XDG_RUNTIME_DIR $DBUS_SESSION_BUS_ADDRESS $DBUS_SESSION_BUS_PID"; ls -A ${t.context.base}; trap`;
    const {stdout, stderr} = await startShell(t.context, BASH, script, {environment}).result;
    t.is(stdout, '1 /old old 7\n');
    t.regex(stderr, new RegExp(`^bash: .*${name}.* readonly variable\n$`));
  });
}

for (const shell of [...POSIX_SHELLS.filter(({name}) => name !== 'bash'), ZSH]) {
  test.serial(`${shell.name}: where a variable is readonly the line fails, and the session ends with the shell`, async t => {
    const {code, stdout} = await startShell(t.context, shell, `readonly XDG_RUNTIME_DIR\n${shell.open()} || exit\necho on`).result;
    t.not(code, 0);
    t.is(stdout, '');
    await nothingLeft(t.context.mark, t.context.base);
  });
}

test.serial('fish: its command substitution serves, too', async t => {
  const fish = SHELLS.at(-1)!;
  const run = startShell(t.context, fish, `eval (jobbus-run --fish-syntax)\n${GET_ID} >/dev/null; and echo served\neval (jobbus-run --stop)\nset -q XDG_RUNTIME_DIR; or echo nothing`);
  t.like(await run.result, {code: 0, stdout: 'served\nnothing\n', stderr: ''});
});

test.serial('tcsh cannot be told of a line break, and says so', async t => {
  const tcsh = SHELLS.find(({name}) => name === 'tcsh')!;
  const {stdout, stderr} = await startShell(t.context, tcsh, `${tcsh.open()}\n${tcsh.stop}\necho $status $?XDG_RUNTIME_DIR`, {environment: {XDG_RUNTIME_DIR: 'a\nb'}}).result;
  t.is(stdout, '0 0\n');
  t.regex(stderr, /^jobbus-run: restoring XDG_RUNTIME_DIR failed: its value has a line break, which csh cannot be told; it is unset\n$/);
});

test.serial('a nested shell has a session of its own, and the outer one keeps its own', async t => {
  const inner = `${BASH.open()}; echo "$XDG_RUNTIME_DIR"; ${BASH.stop}; echo "$XDG_RUNTIME_DIR"`;
  const {code, stdout, stderr} = await startShell(t.context, BASH, `${BASH.open()}; echo "$XDG_RUNTIME_DIR"; bash -c '${inner}'; ${GET_ID} >/dev/null && echo served`).result;
  const [outer, nested, restored, last] = stdout.split('\n');
  t.deepEqual([code, stderr, restored, last], [0, '', outer, 'served']);
  t.not(nested, outer);
});

test.serial('a subshell is told that the session ends with it, and it does', async t => {
  const {code, stdout, stderr} = await startShell(t.context, BASH, `(${BASH.open()}; ${GET_ID} >/dev/null && echo served); ls -A ${t.context.base}; echo "\${XDG_RUNTIME_DIR-nothing}"`).result;
  t.deepEqual([code, stdout], [0, 'served\nnothing\n']);
  t.regex(stderr, /^jobbus-run: process \d+ is a subshell, and the session ends with it; .*\n$/);
});

test.serial('whoever stands between the shell and jobbus-run is none, and not ended by --stop', async t => {
  const script = `eval "$(timeout 60 sh -c 'jobbus-run --sh-syntax; :')"; ${GET_ID} >/dev/null && echo served; eval "$(timeout 60 sh -c 'jobbus-run --stop; :')"; echo $?`;
  t.like(await startShell(t.context, BASH, script).result, {code: 0, stdout: 'served\n0\n', stderr: ''});
});

test.serial('a shell that was executed in its own place can end its session, and lives on', async t => {
  const {code, stdout, stderr} = await startShell(t.context, BASH, `${BASH.open()}; exec bash -c '${BASH.stop}; echo $? "\${XDG_RUNTIME_DIR-nothing}"'`).result;
  t.deepEqual([code, stdout, stderr], [0, '0 nothing\n', '']);
});

test.serial('--stop ends what was started in the session, and nothing else', async t => {
  const child = (name: string, environment = ''): string => `${environment} tail -f /dev/null & echo ${name} $!`;
  const script = `${child('before')}; ${BASH.open()}; ${child('inside')}; ${child('job', 'SLURM_JOB_ID=8')}; ${BASH.stop}; ${waits(t.context)}; kill $(jobs -p)`;
  const run = startShell(t.context, BASH, script, {environment: {SLURM_JOB_ID: '7'}});
  await run.line(/^ready$/);
  const pid = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(run.output())![1]);
  t.deepEqual(['before', 'inside', 'job'].map(name => isRunning(pid(name))), [true, false, true]);
  goOn(t.context);
  await run.result;
  await eventually('the last child to go', () => processesWith(t.context.mark).length === 0);
});

test.serial('--stop leaves alone what the shell has changed since', async t => {
  const script = `${BASH.open()}; export XDG_RUNTIME_DIR=/mine DBUS_STARTER_ADDRESS=mine; ${BASH.stop}; echo "$XDG_RUNTIME_DIR $DBUS_STARTER_ADDRESS \${DBUS_SESSION_BUS_ADDRESS-nothing}"`;
  t.like(await startShell(t.context, BASH, script, {environment: {XDG_RUNTIME_DIR: '/old', DBUS_STARTER_ADDRESS: 'old'}}).result, {code: 0, stdout: '/mine mine nothing\n', stderr: ''});
});

test.serial('options: --bus-only, --keep, --verbose, and a base that only the options name', async t => {
  const base = join(t.context.base, "a base's");
  mkdirSync(base, {mode: 0o700});
  const script = `${BASH.open(`--bus-only -v --runtime-base "${base}"`)}; echo "$XDG_RUNTIME_DIR $DBUS_SESSION_BUS_ADDRESS"; ${BASH.stop}; echo $?; ls -A "${base}"`;
  const {code, stdout, stderr} = await startShell(t.context, BASH, script, {environment: {XDG_RUNTIME_DIR: '/old'}}).result;
  t.is(code, 0);
  t.regex(stdout, /^\/old unix:path=.*\/a%20base%27s\/jobbus-.*\/bus\n0\n$/);
  t.regex(stderr, /^jobbus-run: made .*\njobbus-run: started .*\njobbus-run: process \d+, the keeper, watches process \d+: bash --norc -c /);

  const kept = await startShell(t.context, BASH, `${BASH.open(`--keep --runtime-base "${base}"`)}; ${BASH.stop}; ls "${base}"/*/`).result;
  t.regex(kept.stdout, /\.kept\n$/);
});

