/** Whatever a process has done to be forgotten, it is ended with the command that has started it; and what has ended is reaped at once. */

import {binary, fixture, needsRoot, test, useBench} from './helpers/jobbus.js';
import {isRunning} from './helpers/processes.js';

useBench();

/** Shell lines that start "$@", which says its pid, where nobody finds it by its environment, parent, group or session. */
const FORGOTTEN = {
  'an empty environment': 'env -i setsid "$@" &',
  'a double fork and a session of its own': '(setsid env -i "$@" &) &',
  'a title over its environment': `setsid perl -e '$0 = "x" x 100_000; open STDOUT, ">&3"; $| = 1; print "$$\\n"; close STDOUT; sleep 1 while 1' 3>&1 >/dev/null &`,
  'ssh-agent': 'eval "$(env -i ssh-agent -s)" >/dev/null; echo "$SSH_AGENT_PID";',
};

const WAITS = ['sh', '-c', 'echo $$; exec tail -f /dev/null >/dev/null 2>&1'];

for (const [what, line] of Object.entries(FORGOTTEN)) {
  test(`${what}: ended with the command`, async t => {
    const run = t.context.start(['--', 'sh', '-c', `{ ${line} } 2>/dev/null | { read -r pid; echo "left $pid"; }; exit 3`, 'sh', ...WAITS]);
    const pid = Number((await run.line(/^left \d+$/)).split(' ')[1]);
    t.like(await run.result, {code: 3, stderr: ''});
    t.false(isRunning(pid));
  });
}

test('--verbose says who is ended, and who is killed, by name and pid', async t => {
  const {code, stdout, stderr} = await t.context.run(['--verbose', '--stop-timeout', '0.2', '--', fixture('leaves-orphan'), '3']);
  const pid = /^orphan (\d+)$/m.exec(stdout)![1]!;
  t.is(code, 3);
  t.true(stderr.includes(`jobbus-run: ending tail, process ${pid}, which is left\n`), stderr);
  t.true(stderr.includes(`jobbus-run: killing tail, process ${pid}: it has not ended after TERM\n`), stderr);
});

test('--verbose says that --kill-after has killed the command, by name and pid', async t => {
  const run = t.context.start(['--verbose', '--kill-after', '0.1', '--', fixture('ignores-term')]);
  const pid = (await run.line(/^ready \d+$/)).split(' ')[1]!;
  process.kill(run.pid, 'SIGTERM');
  const {code, stderr} = await run.result;
  t.is(code, 137);
  t.true(stderr.includes(`ignores-term, process ${pid}: it has not ended after the signal that asked for it\n`), stderr);
});

/** Starts an orphan that ends at once, and waits until its entry is gone. Bounded, that it may be seen to stay. */
const REAPED = `pid=$(sh -c 'sh -c "exec true" & echo $!')
  for look in $(seq 100); do [ -e "/proc/$pid" ] || { echo reaped; exit 0; }; sleep 0.02; done; echo "left as $(cut -d ' ' -f 3 "/proc/$pid/stat")"`;

test('an orphan that ends is reaped at once', async t => {
  t.like(await t.context.run(['--', 'sh', '-c', REAPED]), {code: 0, stdout: 'reaped\n', stderr: ''});
});

needsRoot('as PID 1, an orphan that ends is reaped at once', async t => {
  const words = ['--pid', '--fork', '--mount-proc', binary, '--', 'sh', '-c', REAPED];
  t.like(await t.context.run(words, {program: 'unshare'}), {code: 0, stdout: 'reaped\n', stderr: ''});
});

test('what a shell had in the background, before it became jobbus-run, lives on', async t => {
  const script = 'tail -f /dev/null >/dev/null 2>&1 & echo "left $!"; exec "$@"';
  const {code, stdout, stderr} = await t.context.run(['-c', script, 'sh', binary, '--', 'sh', '-c', 'exit 3'], {program: '/bin/sh'});
  const pid = Number(/^left (\d+)$/m.exec(stdout)![1]);
  t.deepEqual({code, stderr}, {code: 3, stderr: ''});
  t.true(isRunning(pid));
  process.kill(pid, 'SIGKILL');
});
