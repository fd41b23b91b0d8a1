/** A base may have any name: the bus's address is escaped, and everybody gets there. */

import {existsSync, mkdirSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {test, useBench} from './helpers/jobbus.js';
import {keeperOf} from './helpers/sessions.js';
import {eventually, isRunning} from './helpers/processes.js';

useBench();

const NAMES: Readonly<Record<string, string>> = {
  'spaces': ' a  b ',
  'commas': 'a,guid=0,b',
  'semicolons': 'a;b',
  'per cent signs': '100%41%',
  'quotes': `it's a "q"`,
  'newlines': 'a\nb\n',
  'UTF-8': 'üñ→😀',
  'equals signs': 'path=a',
  'stars and the like': '*?[a]',
  'XML': '<&amp;>',
  'shell': '$(exit 3)`exit 4`\\',
  'a dash in front': '--',
};

/** Each of the three libraries parses addresses by itself; busctl is there where systemd is. */
const ASK = `set -e
  dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId
  echo
  gdbus call --session -d org.freedesktop.DBus -o / -m org.freedesktop.DBus.GetId
  if [ -x /usr/bin/busctl ]; then busctl --user call org.freedesktop.DBus / org.freedesktop.DBus GetId; else echo; fi
  [ -S "$XDG_RUNTIME_DIR/bus" ]`;

for (const [what, name] of Object.entries(NAMES)) {
  for (const [configuration, options] of [["the daemon's configuration", []], ['one of our own', ['--no-services']]] as const) {
    test(`a base with ${what} in its name serves, with ${configuration}`, async t => {
      const base = join(t.context.base, name);
      mkdirSync(base);
      const {code, stdout, stderr} = await t.context.run([...options, '--runtime-base', base, '--', 'sh', '-c', ASK]);
      t.is(stderr, '');
      t.is(code, 0);
      const [, id = ''] = /^\s*([0-9a-f]{32})\n/.exec(stdout) ?? [];
      t.true(stdout.includes(`\n('${id}',)\n`), stdout);
      t.is(stdout.includes(`\ns "${id}"\n`), existsSync('/usr/bin/busctl'));
      t.deepEqual(readdirSync(base), []);
    });
  }
}

const HARD = 'a b,c;%20\'"\n<ü=*';

for (const [what, path] of [['with all of that in its name', HARD], ['whose path goes up and down', `${HARD}/../${HARD}//`]] as const) {
  test(`in a base ${what}, the keeper cleans up`, async t => {
    const base = `${t.context.base}/${path}`;
    mkdirSync(join(t.context.base, HARD));
    const run = t.context.start(['--runtime-base', base, '--', 'sh', '-c', 'echo ready; exec tail -f /dev/null']);
    await run.line(/^ready$/);
    const keeper = await keeperOf(t.context);
    process.kill(run.pid, 'SIGKILL');
    await run.result;
    await eventually('the keeper to end', () => !isRunning(keeper.pid));
    t.deepEqual(readdirSync(base), []);
  });
}

test('in a base with all of that in its name, a sweep cleans up, and a list tells', async t => {
  const base = join(t.context.base, HARD);
  mkdirSync(base);
  const environment = {JOBBUS_RUNTIME_BASE: base};
  const run = t.context.start(['--', 'sh', '-c', 'echo ready; exec tail -f /dev/null'], {environment});
  await run.line(/^ready$/);
  const {stdout} = await t.context.run(['--list'], {environment});
  t.is(stdout.split('\n').filter(line => line.includes('a b,c;%20\'"?<ü=*/jobbus-')).length, 1);
  const keeper = await keeperOf(t.context);
  [keeper.pid, run.pid].forEach(pid => process.kill(pid, 'SIGKILL'));
  run.child.stdout!.destroy();
  run.child.stderr!.destroy();
  await run.result;
  t.regex((await t.context.run(['--sweep'], {environment})).stdout, /\?<ü=\*\/jobbus-.*: dead \(its process is gone\); removed\n/);
  t.deepEqual(readdirSync(base), []);
});
