import {chmodSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {isJobbusRun} from './helpers/ground.js';
import {LEFT_RUNNING, fixture, needsRoot, needsUser, sessionsIn, test, useBench, type Bench, type Result, type Run} from './helpers/jobbus.js';
import {asNobody, installFor} from './helpers/nobody.js';
import {childrenOf, eventually, isRunning, processesWith} from './helpers/processes.js';
import {editRecord, keeperOf, killEverything} from './helpers/sessions.js';

useBench();

// Root sees what these hide.
needsUser('gnome-keyring-daemon --unlock, which hides its environment, is gone at the end', async t => {
  const home = join(t.context.base, 'home');
  mkdirSync(home);
  const owner = 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetConnectionUnixProcessID string:org.freedesktop.secrets';
  const script = `printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; until ${owner} 2>/dev/null; do sleep 0.02; done; exit 4`;
  const {code, stdout} = await t.context.run(['--', 'sh', '-c', script], {environment: {HOME: home}});
  t.is(code, 4);
  const pid = Number(/uint32 (\d+)/.exec(stdout)?.[1]);
  t.true(pid > 1, stdout);
  t.false(isRunning(pid));
});

test('ssh-agent, which hides its environment and is on no bus, is gone at the end', async t => {
  const {code, stdout} = await t.context.run(['--', 'ssh-agent', '-s']);
  t.is(code, 0);
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1]);
  t.true(pid > 1, stdout);
  t.false(isRunning(pid));
});

interface HidingWorld {
  /** Where an ordinary user may have sessions. */
  readonly base: string;
  readonly start: (words: readonly string[], lines?: string) => Run;
  /** Runs words beside those that were started. */
  readonly enter: (beside: Run, words: readonly string[]) => Promise<Result>;
}

/** Runs words as an ordinary user where /proc has `hidepid=2`; their end does not end what they have left. */
function hidingWorld(bench: Bench): HidingWorld {
  const base = join(bench.base, 'open');
  mkdirSync(base);
  chmodSync(base, 0o1777);
  const environment = {JOBBUS_RUNTIME_BASE: base, PATH: `${dirname(installFor(bench))}:${bench.environment.PATH}`, HOME: '/nowhere'};
  return {
    base,
    start: (words, lines = ':') => {
      const script = `mount -t proc -o hidepid=2 proc /proc; ${lines}\n"$@" || :; echo over; exec tail -f /dev/null`;
      return bench.start(['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-ec', script, 'sh', 'setpriv', ...asNobody(...words)], {program: 'unshare', environment});
    },
    enter: async ({pid}, words) =>
      bench.run(['-t', String(childrenOf(pid)[0]!.pid), '--mount', '--pid', 'setpriv', ...asNobody(...words)], {program: 'nsenter', environment}),
  };
}

async function endWorld({child, result}: Run): Promise<void> {
  child.kill('SIGKILL');
  await result;
}

needsRoot('with hidepid=2, what hides on the bus is gone at the end', async t => {
  const run = hidingWorld(t.context).start(['jobbus-run', '--', 'sh', '-c', `hidden=$(${fixture('hides-on-bus')}); echo "hidden $hidden"`]);
  await run.line(/^hidden \d+$/);
  await run.line(/^over$/);
  t.deepEqual(processesWith(t.context.mark).filter(({words}) => words.some(word => word.endsWith('hides-on-bus'))), []);
  await endWorld(run);
  t.regex(run.errors(), LEFT_RUNNING);
});

needsRoot("what a command has put in its bus's place is not asked, should jobbus-run be killed: it might name any process", async t => {
  const command = `cd "$XDG_RUNTIME_DIR"; rm bus; ${fixture('false-bus')} "$PWD/bus" "$SSH_AGENT_PID" >said & until grep bound said; do sleep 0.02; done; kill -9 "$PPID"`;
  // An agent of OpenSSH 10 puts its socket into its user's home; this user has none.
  const outside = `eval "$(ssh-agent -s -a "$(mktemp -u)")"; jobbus-run -- sh -c '${command}'; while [ -n "$(ls "$JOBBUS_RUNTIME_BASE")" ]; do sleep 0.02; done; kill "$SSH_AGENT_PID" && echo "the agent lived"`;
  const run = hidingWorld(t.context).start(['sh', '-c', outside]);
  await run.line(/^over$/);
  await endWorld(run);
  t.is(run.output().replace(/^Agent pid .*\n/, ''), 'bound\nthe agent lived\nover\n');
});

needsRoot('with hidepid=2, a command that hides gets a signal to its group once', async t => {
  const go = join(t.context.base, 'go');
  const run = hidingWorld(t.context).start(['setsid', '--wait', 'jobbus-run', '-v', '--', fixture('hides-until-file'), go]);
  await run.line(/^hidden$/);
  await run.errorLine(/as process \d+$/);
  const jobbus = processesWith(t.context.mark).find(isJobbusRun)!;
  process.kill(-jobbus.group, 'SIGUSR1');
  await run.errorLine(/^jobbus-run: SIGUSR1 /);
  writeFileSync(go, '');
  await run.line(/^over$/);
  await endWorld(run);
  t.is(run.output(), 'hidden\nUSR1\nover\n');
});

needsRoot("with hidepid=2, a dead run whose pid is another user's by now is swept", async t => {
  const world = hidingWorld(t.context);
  const mark = `JOBBUS_TEST_DEAD=${t.context.mark}`;
  const run = world.start(['env', mark, 'jobbus-run', '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
  await run.line(/^ready$/);
  await killEverything(mark);
  const [directory] = sessionsIn(world.base);
  // The world's own first process is root's.
  editRecord(directory!, {owner: {pid: 1, startTime: '1'}});
  t.like(await world.enter(run, ['jobbus-run', '--sweep']), {code: 0, stdout: `${directory}: dead (its lock is free); removed\n`, stderr: ''});
  await endWorld(run);
});

/** A set-uid program becomes root's, and cannot be sent a signal any more. */
const BECOMES_ROOTS = (base: string): string => `cp "$(readlink -f /usr/bin/python3)" ${base}/python; chmod 4755 ${base}/python`;

const HIDING_SHELLS = [
  ['hides', () => ':', () => fixture('hides-until-file')],
  ["becomes root's", BECOMES_ROOTS, (base: string) => `${base}/python ${fixture('hides-until-file')}`],
] as const;

for (const [what, lines, program] of HIDING_SHELLS) {
  needsRoot(`with hidepid=2, a shell that ${what} keeps its session until it ends`, async t => {
    const world = hidingWorld(t.context);
    const go = join(t.context.base, 'go');
    const run = world.start(['bash', '--norc', '-c', `eval "$(jobbus-run --sh-syntax)"; exec ${program(t.context.base)} ${go}`], lines(t.context.base));
    await run.line(/^hidden$/);
    const keeper = await keeperOf(t.context);
    t.true(isRunning(keeper.pid), 'it has not taken the shell for gone');
    t.like(await world.enter(run, ['jobbus-run', '--sweep']), {code: 0, stdout: '', stderr: ''});
    t.like(JSON.parse((await world.enter(run, ['jobbus-run', '--list', '--json'])).stdout), [{state: 'live'}]);
    writeFileSync(go, '');
    await eventually('the session to go', () => sessionsIn(world.base).length === 0);
    await endWorld(run);
  });
}
