import {chownSync, cpSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {execFileSync} from 'node:child_process';
import {join} from 'node:path';
import {binary, needsRoot, test, useBench, type Bench} from './helpers/jobbus.js';
import {isRunning} from './helpers/processes.js';
import {editRecord, emptySession, swept} from './helpers/sessions.js';

useBench();

const FILE = 'session.json';

const SHELL = {syntax: 'sh', keeper: {pid: 1000, startTime: '1'}, changes: []};

/** Each spoils the record of a dead session. */
const SPOILERS: Readonly<Record<string, (directory: string, bench: Bench) => void>> = {
  'is torn': directory => writeFileSync(join(directory, FILE), readFileSync(join(directory, FILE), 'utf8').slice(0, 100)),
  'is empty': directory => writeFileSync(join(directory, FILE), ''),
  'is not there': directory => rmSync(join(directory, FILE)),
  'is not JSON': directory => writeFileSync(join(directory, FILE), Buffer.from([0xff, 0, 0x1b, 0x5b])),
  'is a list': directory => writeFileSync(join(directory, FILE), '[]'),
  'is null': directory => writeFileSync(join(directory, FILE), 'null'),
  'is deeply nested': directory => writeFileSync(join(directory, FILE), '['.repeat(30_000)),
  'is huge': directory => execFileSync('truncate', ['-s', '4G', join(directory, FILE)]),
  'is just over the limit': directory => editRecord(directory, {command: 'x'.repeat(65_536)}),
  'is a directory': directory => replace(directory, path => mkdirSync(path)),
  'is a FIFO': directory => replace(directory, path => execFileSync('mkfifo', [path])),
  'is a link to a device': directory => replace(directory, path => symlinkSync('/dev/zero', path)),
  'is a link to nothing': directory => replace(directory, path => symlinkSync('/nowhere', path)),
  'is a link to another one': (directory, {base}) => {
    cpSync(join(directory, FILE), join(base, 'other'));
    replace(directory, path => symlinkSync(join(base, 'other'), path));
  },
  'has another session\'s name': directory => editRecord(directory, {name: 'nojob-aaaaaaaabbbbbbbb'}),
  'has a path for a name': directory => editRecord(directory, {name: '../../../etc'}),
  'has no format': directory => editRecord(directory, {format: undefined}),
  'has a word for a format': directory => editRecord(directory, {format: '1'}),
  'has no owner': directory => editRecord(directory, {owner: undefined}),
  'is owned by all processes': directory => editRecord(directory, {owner: {pid: -1, startTime: '1'}}),
  'is owned by half a process': directory => editRecord(directory, {owner: {pid: 1000.5, startTime: '1'}}),
  'has an object for an address': directory => editRecord(directory, {address: {}}),
  'has a number for a job': directory => editRecord(directory, {job: 7}),
  'has numbers for a job identity': directory => editRecord(directory, {job: {identity: [7]}}),
  'has a shell of no syntax': directory => editRecord(directory, {shell: {...SHELL, syntax: 'rc'}}),
  'has a shell without a keeper': directory => editRecord(directory, {shell: {...SHELL, keeper: undefined}}),
  'has a shell whose keeper is init': directory => editRecord(directory, {shell: {...SHELL, keeper: {pid: 1, startTime: '1'}}}),
  'has a shell with another variable': directory => editRecord(directory, {shell: {...SHELL, changes: [{name: 'PATH', from: '/evil', to: null}]}}),
  'has a shell with a number for a value': directory => editRecord(directory, {shell: {...SHELL, changes: [{name: 'XDG_RUNTIME_DIR', from: 7, to: null}]}}),
  'has an endless grace': directory => editRecord(directory, {stopTimeout: null}),
  'has a negative grace': directory => editRecord(directory, {stopTimeout: -1}),
};

function replace(directory: string, make: (path: string) => void): void {
  rmSync(join(directory, FILE));
  make(join(directory, FILE));
}

for (const [what, spoil] of Object.entries(SPOILERS)) {
  test.serial(`a record that ${what} is not followed, and crashes nothing`, async t => {
    const directory = await emptySession(t.context);
    spoil(directory, t.context);
    await isIgnored(t.context, directory);
    t.pass();
  });
}

/** Only root can make these. */
const ROOTS_SPOILERS: Readonly<Record<string, (file: string) => void>> = {
  "is another user's": file => chownSync(file, 65_534, 65_534),
  'is a device that never ends': file => execFileSync('sh', ['-c', 'rm "$0"; mknod "$0" c 1 5', file]),
};

for (const [what, spoil] of Object.entries(ROOTS_SPOILERS)) {
  needsRoot(`a record that ${what} is not followed, and crashes nothing`, async t => {
    const directory = await emptySession(t.context);
    spoil(join(directory, FILE));
    await isIgnored(t.context, directory);
    t.pass();
  });
}

test.serial('a hard link to a file of the user\'s as a record harms nothing', async t => {
  const directory = await emptySession(t.context);
  const precious = join(t.context.base, 'precious');
  writeFileSync(precious, 'precious');
  replace(directory, path => linkSync(precious, path));
  await isIgnored(t.context, directory);
  t.is(readFileSync(precious, 'utf8'), 'precious');
});

for (const [what, change] of [
  ["the user's own bus", (bystander: Bystander) => ({address: bystander.address})],
  ['a daemon that is none', (bystander: Bystander) => ({daemon: {pid: bystander.pid, startTime: bystander.startTime}})],
] as const) {
  test.serial(`a record that names ${what} ends nobody there`, async t => {
    const directory = await emptySession(t.context);
    const address = 'unix:path=/run/user/0/bus';
    const {pid, child} = t.context.start(['1000'], {program: 'sleep', environment: {DBUS_SESSION_BUS_ADDRESS: address}});
    const startTime = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[21]!;
    editRecord(directory, change({pid, startTime, address}));
    t.is((await t.context.run(['--sweep'])).code, 0);
    t.false(existsSync(directory));
    t.true(isRunning(pid));
    child.kill('SIGKILL');
  });
}

interface Bystander {
  readonly pid: number;
  readonly startTime: string;
  readonly address: string;
}

test.serial('a record whose owner has ended, and whose pid another process has now, keeps nothing', async t => {
  const directory = await emptySession(t.context);
  const {pid, child} = t.context.start(['1000'], {program: 'sleep'});
  editRecord(directory, {owner: {pid, startTime: '1'}});
  t.is((await t.context.run(['--sweep'])).code, 0);
  t.false(existsSync(directory));
  t.true(isRunning(pid));
  child.kill('SIGKILL');
});

test.serial('a record that names another job ends nothing of that job', async t => {
  const directory = await emptySession(t.context);
  const {pid, child} = t.context.start(['1000'], {program: 'sleep', environment: {SLURM_JOB_ID: '8'}});
  editRecord(directory, {job: {identity: ['SLURM_JOB_ID=8']}});
  t.is((await t.context.run(['--sweep'])).code, 0);
  t.false(existsSync(directory));
  t.true(isRunning(pid));
  child.kill('SIGKILL');
});

test.serial('a directory of other contents among the sessions is left alone', async t => {
  const directory = await emptySession(t.context);
  const others = ['mine', 'nojob-short', 'nojob-aaaaaaaabbbbbbbb~x', '-aaaaaaaabbbbbbbb', 'nojob-aaaaaaaabbbbbbbb.kept'].map(name => join(directory, '..', name));
  others.forEach(path => mkdirSync(path));
  writeFileSync(join(directory, '../nojob-ccccccccdddddddd'), 'a file');
  symlinkSync(t.context.base, join(directory, '../nojob-ccccccccdddddddf'));
  t.is((await t.context.run(['--sweep'])).code, 0);
  t.false(existsSync(directory));
  t.true(others.every(existsSync));
  t.is(readFileSync(join(directory, '../nojob-ccccccccdddddddd'), 'utf8'), 'a file');
  rmSync(join(directory, '..'), {recursive: true});
});

test.serial('while the record is written, none or a whole one is there', async t => {
  const trace = join(t.context.base, 'trace');
  await t.context.run(['-D', '-o', trace, '-e', 'trace=openat,rename', '-y', binary, '--', 'true'], {program: 'strace'});
  // Beside other sessions on the machine, a run also reads its own record, as it looks for dead ones.
  const calls = readFileSync(trace, 'utf8').split('\n').filter(line => line.includes(t.context.base) && line.includes(FILE) && !line.includes('O_RDONLY'));
  t.is(calls.length, 2);
  t.regex(calls[0]!, /^openat\(.*session\.json\.new", O_WRONLY\|O_CREAT/);
  t.regex(calls[1]!, /^rename\("[^"]*session\.json\.new", "[^"]*session\.json"\)/);
});

/** Nobody takes it for a record, and its session goes all the same. Throws otherwise. */
async function isIgnored(bench: Bench, directory: string): Promise<void> {
  const {code, stdout, stderr} = await bench.run(['--list', '--json']);
  const found = (JSON.parse(stdout) as Array<{state: string; pid: number | null; directory: string}>).find(session => session.directory === directory);
  if (code !== 0 || stderr !== '' || found?.state !== 'dead' || found.pid !== null) {
    throw new Error(`It was listed as ${JSON.stringify(found)}; ${stderr}`);
  }

  const next = await bench.run(['--', 'true']);
  if (next.code !== 0 || next.stderr !== '') {
    throw new Error(`The next run ended with ${next.code}: ${next.stderr}`);
  }

  await swept(bench, directory);
}
