import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {needsRoot, needsUser, useBench} from './helpers/jobbus.js';
import {eventually, isRunning} from './helpers/processes.js';

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

needsUser('ssh-agent, which hides its environment and is on no bus, stays: a limit that the README names', async t => {
  const {code, stdout} = await t.context.run(['--', 'ssh-agent', '-s']);
  t.is(code, 0);
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1]);
  t.true(isRunning(pid), stdout);
  process.kill(pid, 'SIGTERM');
  await eventually('it to end', () => !isRunning(pid));
});

needsRoot('for root, ssh-agent hides nothing, and is gone at the end', async t => {
  const {code, stdout} = await t.context.run(['--', 'ssh-agent', '-s']);
  t.is(code, 0);
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1]);
  t.true(pid > 1, stdout);
  t.false(isRunning(pid));
});
