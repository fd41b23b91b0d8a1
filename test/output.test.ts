import {once} from 'node:events';
import {existsSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {LEFT_RUNNING, binary, fixture, test, useBench, type Bench} from './helpers/jobbus.js';
import {eventually, isRunning} from './helpers/processes.js';

useBench();

/** A home without a keyring, so that nothing asks for a password. */
function home(bench: Bench): Record<string, string> {
  const directory = join(bench.base, 'home');
  mkdirSync(directory);
  return {HOME: directory, DISPLAY: '', WAYLAND_DISPLAY: ''};
}

test('a substitution gets what the command says and no more, when an activated keyring stays', async t => {
  const script = 'x=$("$0" -- secret-tool lookup a b); echo "$? [$x]"';
  const {code, stdout, stderr} = await t.context.run(['-c', script, binary], {program: '/bin/sh', environment: home(t.context)});
  t.is(stderr, '');
  t.is(stdout, '1 []\n');
  t.is(code, 0);
});

test('the keyring was started by that, and is gone at the end', async t => {
  const owner = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetConnectionUnixProcessID string:org.freedesktop.secrets';
  const {code, stdout} = await t.context.run(['--', 'sh', '-c', `secret-tool lookup a b; ${owner}`], {environment: home(t.context)});
  t.is(code, 0);
  const pid = Number(/^\s*uint32 (\d+)\s*$/.exec(stdout)?.[1]);
  t.true(pid > 1, stdout);
  t.false(isRunning(pid));
});

test('what a service says goes to the log, and not between the words of the command', async t => {
  const services = join(t.context.base, 'share/dbus-1/services');
  mkdirSync(services, {recursive: true});
  writeFileSync(join(services, 'org.example.Noisy.service'), `[D-BUS Service]\nName=org.example.Noisy\nExec=${fixture('noisy-service')}\n`);
  const call = 'dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.StartServiceByName string:org.example.Noisy uint32:0';
  const log = '"$XDG_RUNTIME_DIR/dbus-daemon.log"';
  const script = `${call} >/dev/null; until [ "$(grep -c noise ${log})" = 2 ]; do sleep 0.02; done; echo said; echo complained >&2`;
  const result = await t.context.run(['--', 'sh', '-c', script], {environment: {XDG_DATA_DIRS: join(t.context.base, 'share')}});
  t.like(result, {code: 0, stdout: 'said\n', stderr: 'complained\n'});
});

test('a reader of stdout sees its end as soon as the command has ended, whatever the end of the session takes', async t => {
  const [asked, go, saved] = ['asked', 'go', 'saved'].map(name => join(t.context.base, name)) as [string, string, string];
  const run = t.context.start(['--stop-timeout', '60', '--', fixture('leaves-saver'), asked, go, saved]);
  await once(run.child.stdout!, 'end');
  await eventually('the process that was left to be asked', () => existsSync(asked));
  t.true(isRunning(run.pid), 'jobbus-run waits for it');
  writeFileSync(go, '');
  const {code, stdout, stderr} = await run.result;
  t.deepEqual([code, stdout], [0, '']);
  t.regex(stderr, LEFT_RUNNING);
});

test('a command that reads its input and writes much gets and gives all of it', async t => {
  const input = 'a line of the input\n'.repeat(50_000);
  const {code, stdout, stderr} = await t.context.run(['--', 'cat'], {input});
  t.is(stderr, '');
  t.is(code, 0);
  t.true(stdout === input, `${stdout.length} of ${input.length}`);
});

test('with a closed stderr, the command and its status are unchanged', async t => {
  const {code, stdout} = await t.context.run(['-c', 'exec "$0" --verbose -- sh -c "echo said; exit 3" 2>&-', binary], {program: '/bin/sh'});
  t.is(code, 3);
  t.is(stdout, 'said\n');
});

test('--verbose goes to stderr alone, a line for each step', async t => {
  const {code, stdout, stderr} = await t.context.run(['--verbose', '--', 'echo', 'said']);
  t.is(code, 0);
  t.is(stdout, 'said\n');
  t.true(stderr.trimEnd().split('\n').every(line => line.startsWith('jobbus-run: ')), stderr);
  for (const step of [/: made \//, /: started \/usr\/bin\/dbus-daemon as process \d+ at unix:/, /: started echo as process \d+/, /: echo ended with status 0/, /: removed \//]) {
    t.regex(stderr, step);
  }
});

test('the log of the daemon can be kept', async t => {
  const {code, stderr} = await t.context.run(['--keep', '--', 'true']);
  t.is(code, 0);
  const directory = /^jobbus-run: kept (.*)\n$/.exec(stderr)![1]!;
  t.notThrows(() => readFileSync(join(directory, 'dbus-daemon.log')));
  rmSync(directory, {recursive: true});
});

/** A stderr that is full, and that nobody reads. */
const CLOGGED = 'mkfifo "$0/full"; exec 9<>"$0/full"; head -c 65536 /dev/zero >&9; exec 2>&9 9>&-; exec "$@"';

test('who does not read our stderr keeps us neither from signals nor from the end', async t => {
  const clogged = (...words: readonly string[]): readonly string[] => ['-c', CLOGGED, t.context.base, binary, ...words];
  t.like(await t.context.run(clogged('-v', '--', 'sh', '-c', 'sleep 600 & exit 3'), {program: '/bin/sh'}), {code: 3, stdout: ''});
  rmSync(join(t.context.base, 'full'));
  const run = t.context.start(clogged('-v', '--', 'sh', '-c', 'echo ready; exec sleep 600'), {program: '/bin/sh'});
  await run.line(/^ready$/);
  process.kill(run.pid, 'SIGTERM');
  t.is((await run.result).code, 143);
  rmSync(join(t.context.base, 'full'));
  t.is((await t.context.run(clogged('--nonsense'), {program: '/bin/sh'})).code, 125);
});

/** Fills a terminal but for so many bytes, and has our stderr there. */
const CLOGGED_TERMINAL = `import os, pty, subprocess, sys, time
def filled(most):
    ends = pty.openpty()
    os.set_blocking(ends[1], False)
    count = 0
    try:
        while count < most:
            count += os.write(ends[1], b"x" * min(100, most - count))
            if count == 5000:
                time.sleep(0.2) # Until its reader's side has taken what that can hold.
    except BlockingIOError:
        pass
    os.set_blocking(ends[1], True)
    return ends, count
ends, full = filled(1 << 20)
for room in map(int, sys.argv[1].split()):
    (reader, writer), count = filled(full - room)
    run = subprocess.Popen(sys.argv[2:], stderr=writer)
    try:
        print(count - full + room, run.wait(15))
    except subprocess.TimeoutExpired:
        run.kill()
        print("hangs")
`;

test('a terminal that nobody reads, with room for a part of a line, does not hold us up', async t => {
  const {code, stdout} = await t.context.run(['-c', CLOGGED_TERMINAL, '1 150 300', binary, '-v', '--', 'sh', '-c', 'exit 3'], {program: 'python3'});
  t.is(stdout, '0 3\n0 3\n0 3\n');
  t.is(code, 0);
});
