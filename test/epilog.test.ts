/** Root's Epilog, `--sweep --uid`: what the user whose sessions it sweeps makes of it, and does not get by it. */

import {chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {join, relative} from 'node:path';
import type {ExecutionContext} from 'ava';
import {needsRoot, test, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {NODE_BINARY, nodeFixture, startNode, type EnterOptions, type OwnNode} from './helpers/own-node.js';
import {isRunning} from './helpers/processes.js';
import {editRecord, killEverything} from './helpers/sessions.js';
import {useUsers, type User} from './helpers/users.js';

useBench();

const users = useUsers();

/** A node on which root's child, once it is the user, takes its time at the user's sessions. */
async function startSlowNode(t: ExecutionContext<Bench>, {id}: User, lines = '', namespaces: readonly string[] = []): Promise<OwnNode> {
  const node = await startNode(t, lines, namespaces);
  const parent = join(node.tmp, `jobbus-${id}`);
  mkdirSync(parent, 0o700);
  chownSync(parent, id, id);
  return node;
}

/** Of strace(1), in front of the sweep: {@link startSlowNode} makes the directory. */
function slowed({id}: User, ...words: readonly string[]): EnterOptions {
  return {prefix: ['strace', '-f', '-o', '/dev/null', '-P', `/tmp/jobbus-${id}`, ...words, '-e', 'inject=getdents64:delay_enter=1000000']};
}

/** What the user would have root's log, or a terminal that shows it, take for something else. */
const FORGED = (user: number): string => [
  '\u001B[2J\u001B]0;owned\u0007',
  'slurmd: error: the node is on fire',
  'jobbus-run: sweeping failed\u001B[2J\u009B31m\u202E: call the number below',
  `/tmp/jobbus-${user}/nojob-aaaaaaaabbbbbbbb: dead (its process is gone); removed`,
  `/tmp/jobbus-${user}/nojob-aaaaaaaabbbbbbbb: dead (its process is gone); not all could be removed: ${'x\u001B[2J\u2028'.repeat(100)}`,
  '/etc/shadow: dead (its process is gone); removed',
  `/tmp/jobbus-${user}/nojob-aaaaaaaabbbbbbbb: dead (\u001B[2J); removed`,
  '',
].join('\n');

needsRoot('a user who takes the output of the sweep gets root to print lines of our own form, printable, short and few', async t => {
  const {victim: user} = users();
  const node = await startSlowNode(t, user);
  const attack = node.start([nodeFixture('takes-output')], {user, input: FORGED(user.id)});
  await attack.line(/^ready$/);
  const {code, stdout, stderr} = await node.run(['--sweep', '--uid', String(user.id)], slowed(user, '-e', 'trace=getdents64'));
  t.is(code, 0);
  t.is((await attack.result).stdout, 'ready\ntaken\nnobody reads\nnobody reads\n');
  const forms = [`/tmp/jobbus-${user.id}/nojob-aaaaaaaabbbbbbbb: dead (its process is gone); removed`, `/tmp/jobbus-${user.id}/nojob-aaaaaaaabbbbbbbb: dead (its process is gone); not all could be removed: x?[2J?x`];
  // strace(1) itself may say that it does not know a process that has ended.
  const [said, warned] = [stdout, stderr].map(text => text.split('\n').slice(0, -1).filter(line => !line.startsWith('strace: '))) as [string[], string[]];
  t.deepEqual([...new Set(said.map(line => forms.find(form => line.startsWith(form))))], forms);
  t.true(warned.every(line => line.startsWith('jobbus-run: ')));
  for (const line of [...said, ...warned]) {
    t.true(line.length <= 501, line);
    t.notRegex(line, /[\p{C}\p{Zl}\p{Zp}]/u);
  }

  t.deepEqual([said.length, warned.filter(line => line.includes('call the number below')).length], [300, 300]);
  t.deepEqual(warned.slice(300, 301), [`jobbus-run: sweeping as user ${user.id}: the rest of what was said is left out; see what jobbus-run --list shows that user`]);
});

/** A session of the user's of which everything was killed. @returns the directory, as the node sees it */
async function killedSession(t: ExecutionContext<Bench>, node: OwnNode, user: User, base = ''): Promise<string> {
  const entry = `JOBBUS_TEST_VICTIM=${t.context.mark.split('=')[1]!}`;
  const [name, value] = entry.split('=') as [string, string];
  const run = node.start([NODE_BINARY, '--', 'sh', '-c', 'echo "$XDG_RUNTIME_DIR"; exec tail -f /dev/null'], {user, environment: {[name]: value, JOBBUS_RUNTIME_BASE: base}});
  const directory = await run.line(/^\//);
  await killEverything(entry);
  await run.result;
  return directory;
}

needsRoot('root sweeps as the user, in the fixed bases, with an environment of its own', async t => {
  const {victim: user} = users();
  const node = await startNode(t);
  const directory = await killedSession(t, node, user, '/dev/shm');
  const outside = (path: string): string => join(node.shm, relative('/dev/shm', path));
  mkdirSync(join(outside(directory), 'roots'), {mode: 0o700});
  writeFileSync(join(outside(directory), 'roots/file'), 'precious');

  const sweep = async (): Promise<Result> => node.run(['--sweep', '--uid', user.name], {environment: {JOBBUS_RUNTIME_BASE: '/nowhere'}});
  const {code, stdout, stderr} = await sweep();
  const line = stdout.split('\n').find(text => text.startsWith(`${directory}: dead (its process is gone); not all could be removed: `)) ?? '';
  t.regex(line, /roots failed: .*permi/);
  t.deepEqual([code, stderr], [0, '']);
  const left = outside(/removing (\S+)\/roots failed/.exec(line)![1]!);
  t.is(statSync(left).uid, user.id);
  t.is(readFileSync(join(left, 'roots/file'), 'utf8'), 'precious');
  rmSync(join(left, 'roots'), {recursive: true});
  t.regex((await sweep()).stdout, /; removed\n/);
  t.false(existsSync(left));
});

needsRoot('it sweeps the place that root names, too', async t => {
  const {victim: user} = users();
  const node = await startNode(t, 'mkdir -m 1777 /dev/shm/site');
  const directory = await killedSession(t, node, user, '/dev/shm/site');
  t.like(await node.run(['--sweep', '--uid', user.name]), {code: 0, stdout: '', stderr: ''});
  t.like(await node.run(['--sweep', '--uid', user.name, '--runtime-base', '/dev/shm/site']), {code: 0, stdout: `${directory}: dead (its process is gone); removed\n`, stderr: ''});
});

(process.arch === 'x64' ? needsRoot : test.skip)("a program of the user's that takes the place of the sweep ends with the sweep, and all that it has left", async t => {
  const {victim: user} = users();
  const node = await startNode(t);
  const directory = await killedSession(t, node, user);
  editRecord(join(node.tmp, directory.slice('/tmp'.length)), {stopTimeout: 9000}); // The time that it has for the attack.
  const attack = node.start([nodeFixture('takes-place'), nodeFixture('escapes')], {user, environment: {XDG_RUNTIME_DIR: directory, DBUS_SESSION_BUS_ADDRESS: `unix:path=${directory}/bus`}});
  await attack.line(/^ready$/);
  t.like(await node.run(['--sweep', '--uid', String(user.id)]), {code: 0, stdout: '', stderr: ''});
  t.like(await attack.result, {code: 0, stdout: 'ready\ntaken\n'});
  t.false(isRunning(Number(readFileSync(join(node.tmp, 'escaped'), 'utf8'))));
});

needsRoot('a USR1 to any of the sweep, as it begins, opens no debugger', async t => {
  const {victim: user, neighbour} = users();
  const node = await startSlowNode(t, user, 'ip link set lo up', ['--net']);
  const knocker = node.start([nodeFixture('knocks')], {user: neighbour});
  await knocker.line(/^ready$/);
  const usr1 = ['-e', 'trace=execve,getdents64', '-e', 'inject=execve:signal=USR1'];
  t.like(await node.run(['--sweep', '--uid', String(user.id)], slowed(user, ...usr1)), {code: 0, stderr: ''});
  t.is(knocker.output(), 'ready\n');
  knocker.child.kill('SIGKILL');
  await knocker.result;
});

/** Strings in a line of strace(1) that are paths, as the process sees them. */
function pathsOf(line: string): readonly string[] {
  return Array.from(line.matchAll(/"(\/[^"]*)"/g), match => match[1]!);
}

/** The calls of root's processes, from a trace with `-f`: until they become the user, and not of those that they start then. */
function callsOfRoot(trace: string): readonly string[] {
  const users = new Set<string>();
  return trace.split('\n').filter(line => {
    const [pid = '', call = ''] = line.split(/ +(.*)/);
    if (users.has(pid)) {
      const child = /^(?:clone3?|v?fork|<\.\.\. (?:clone3?|v?fork)).* = (\d+)$/.exec(call)?.[1];
      users.add(child ?? pid);
      return false;
    }

    users.add(call.startsWith('setuid(') ? pid : '');
    return true;
  });
}

needsRoot("root itself touches no path of the user's, and whoever is named in a record and bears the session's marks, is not ended if another user's", async t => {
  const {victim: user, neighbour} = users();
  const node = await startNode(t, 'mkdir -m 777 /mnt/traces');
  const directory = await killedSession(t, node, user);
  const marks = {XDG_RUNTIME_DIR: directory, DBUS_SESSION_BUS_ADDRESS: `unix:path=${directory}/bus`};
  const bystanders = [undefined, neighbour].map(whose => node.start(['sh', '-c', 'echo ready; exec tail -f /dev/null'], {...(whose && {user: whose}), environment: marks}));
  await Promise.all(bystanders.map(async ({line}) => line(/^ready$/)));
  const [roots = 0] = bystanders.map(({pid}) => pid);
  editRecord(join(node.tmp, directory.slice('/tmp'.length)), {daemon: {pid: roots, startTime: readFileSync(`/proc/${roots}/stat`, 'utf8').split(' ')[21]}});

  const tracing = {prefix: ['strace', '-f', '-o', '/mnt/traces/trace', '-e', 'trace=%file,%process,setuid'], environment: {PATH: '/usr/bin:/bin', PWD: '/'}};
  t.like(await node.run(['--sweep', '--uid', String(user.id)], tracing), {code: 0, stdout: `${directory}: dead (its process is gone); removed\n`, stderr: ''});
  const trace = readFileSync(join(t.context.base, 'traces/trace'), 'utf8');
  const paths = callsOfRoot(trace).flatMap(pathsOf);
  t.true(paths.some(path => path.endsWith('/lib/jobbus-run/supervisor')));
  t.deepEqual(paths.filter(path => /^\/(tmp|dev\/shm|home)(\/|$)/.test(path)), []);
  t.true(trace.split('\n').flatMap(pathsOf).includes(`${directory}/session.json`), "the user's child does");

  t.true(bystanders.every(({pid}) => isRunning(pid)));
  bystanders.forEach(({child}) => child.kill('SIGKILL'));
  await Promise.all(bystanders.map(async ({result}) => result));
});
