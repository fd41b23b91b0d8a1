/** Programs that need a session bus, as people use them. As an ordinary user: root may and sees more. */

import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {needsUser, useBench, type Bench, type Result} from './helpers/jobbus.js';
import {eventually} from './helpers/processes.js';

useBench();

/** What the programs would choose by what else is installed, or by where the tests are started. */
const PINNED = {PYTHON_KEYRING_BACKEND: 'keyring.backends.SecretService.Keyring', GSETTINGS_BACKEND: 'dconf', DISPLAY: undefined, WAYLAND_DISPLAY: undefined};

/** Runs shell lines in a session, for somebody with an empty home and no display. */
async function session(bench: Bench, lines: string): Promise<Result> {
  const home = join(bench.base, 'home');
  mkdirSync(home, {recursive: true});
  return bench.run(['--', 'sh', '-euc', lines], {environment: {HOME: home, ...PINNED}});
}

const waitFor = (name: string): string => `gdbus wait --session --timeout 60 ${name}`;

const UNLOCK = 'echo password | gnome-keyring-daemon --unlock --components=secrets >/dev/null';

needsUser('dbus-test-tool: two thousand calls, all answered', async t => {
  const lines = `dbus-test-tool echo --session --name=org.example.Echo &
    ${waitFor('org.example.Echo')}
    dbus-test-tool spam --session --dest=org.example.Echo --count=2000 --flood >/dev/null
    echo answered`;
  t.like(await session(t.context, lines), {code: 0, stdout: 'answered\n'});
});

needsUser('dbus-test-tool: who never answers runs into the time-out of the caller, and does not stay', async t => {
  const lines = `dbus-test-tool black-hole --session --name=org.example.Hole &
    ${waitFor('org.example.Hole')}
    dbus-send --session --print-reply --reply-timeout=200 --dest=org.example.Hole / org.example.Hole.Ask || echo "status $?"`;
  const {code, stdout, stderr} = await session(t.context, lines);
  t.is(code, 0);
  t.is(stdout, 'status 1\n');
  t.regex(stderr, /NoReply/);
});

needsUser('secret-tool stores into a keyring that was unlocked from stdin, and finds it again', async t => {
  const lines = `${UNLOCK}
    printf s3cret | secret-tool store --label=test application jobbus
    secret-tool lookup application jobbus
    echo
    ls "$XDG_RUNTIME_DIR/keyring"`;
  t.like(await session(t.context, lines), {code: 0, stdout: 's3cret\ncontrol\n'});
});

const KEYRING = `import keyring
keyring.set_password('service', 'user', 's3cret')
print(keyring.get_keyring().__module__, keyring.get_password('service', 'user'))`;

needsUser("python's keyring stores and finds", async t => {
  t.like(await session(t.context, `${UNLOCK}\npython3 -c "${KEYRING}"`), {code: 0, stdout: 'keyring.backends.SecretService s3cret\n'});
});

needsUser("python's keyring fails, and does not wait, where nothing was unlocked", async t => {
  t.like(await session(t.context, 'keyring get service user || echo "status $?"'), {code: 0, stdout: 'status 1\n'});
});

needsUser('dconf writes and reads, and has its directory', async t => {
  const lines = `dconf write /org/example/word "'hello'"
    dconf read /org/example/word
    ls "$XDG_RUNTIME_DIR/dconf"`;
  t.like(await session(t.context, lines), {code: 0, stdout: "'hello'\nuser\n", stderr: ''});
});

needsUser('what gsettings sets in one session, it gets in the next', async t => {
  const key = 'org.gnome.desktop.interface cursor-size';
  t.like(await session(t.context, `gsettings set ${key} 48`), {code: 0, stderr: ''});
  t.like(await session(t.context, `gsettings get ${key}`), {code: 0, stdout: '48\n', stderr: ''});
});

needsUser('xfconf stores, and its daemon does not stay', async t => {
  const lines = `xfconf-query -c test -p /word -n -t string -s hello
    xfconf-query -c test -p /word
    dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetNameOwner string:org.xfce.Xfconf`;
  const {code, stdout} = await session(t.context, lines);
  t.is(code, 0);
  t.regex(stdout, /^hello\n\s*:1\.\d+\s*$/);
});

needsUser('notify-send reaches a notification service', async t => {
  const lines = `python3 -m dbusmock --template notification_daemon &
    ${waitFor('org.freedesktop.Notifications')}
    notify-send --print-id hello`;
  const {code, stdout} = await session(t.context, lines);
  t.is(code, 0);
  t.regex(stdout, /^1$/m);
  t.regex(stdout, /Notify "notify-send" .*"hello"/);
});

/** A display of its own; its number comes when it takes connections. */
const DISPLAY = `Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp 3>"$XDG_RUNTIME_DIR/display" >/dev/null 2>&1 &
    until [ -s "$XDG_RUNTIME_DIR/display" ]; do sleep 0.02; done
    DISPLAY=:$(cat "$XDG_RUNTIME_DIR/display")
    export DISPLAY`;

const ACCESSIBLE = 'import pyatspi; print([application.name for application in pyatspi.Registry.getDesktop(0)])';

needsUser('zenity can be seen on the bus for accessibility, which is a second daemon and goes too', async t => {
  const lines = `${DISPLAY}
    zenity --info --text=hello 2>/dev/null &
    until python3 -c '${ACCESSIBLE}' 2>/dev/null | grep -x "\\['zenity'\\]"; do sleep 0.1; done
    gdbus call --session -d org.a11y.Bus -o /org/a11y/bus -m org.a11y.Bus.GetAddress | grep -c "unix:path=$XDG_RUNTIME_DIR/at-spi/"`;
  t.like(await session(t.context, lines), {code: 0, stdout: "['zenity']\n1\n"});
});

needsUser('a session of XFCE has its manager on the bus, and all of it goes with the command', async t => {
  const lines = `${DISPLAY}
    xfce4-session >/dev/null 2>&1 &
    ${waitFor('org.xfce.SessionManager')}
    gdbus call --session -d org.xfce.SessionManager -o /org/xfce/SessionManager -m org.xfce.Session.Manager.GetInfo
    exit 3`;
  const {code, stdout} = await session(t.context, lines);
  t.is(code, 3);
  t.regex(stdout, /^\('xfce4-session', /);
});

const VNC = ['vncserver', '-localhost', 'yes', '-SecurityTypes', 'None', '-xstartup'];

needsUser('what a VNC server runs in the background goes on with --wait, with its bus, and gets TERM', async t => {
  const desktop = join(t.context.base, 'desktop');
  writeFileSync(desktop, `#!/bin/sh
    trap '${waitFor('org.freedesktop.DBus')} && echo saved >>notes; exit' TERM
    echo "ready $DISPLAY" >>notes
    while :; do sleep 0.05; done\n`, {mode: 0o755});
  const run = t.context.start(['--wait', '--stop-timeout', '30', '--', ...VNC, desktop], {cwd: t.context.base, environment: {HOME: t.context.base, ...PINNED}});
  const notes = (): string => readFileSync(join(t.context.base, 'notes'), {encoding: 'utf8', flag: 'a+'});
  await eventually('the desktop to be there', () => notes().startsWith('ready :'));
  run.child.kill('SIGTERM');
  t.is((await run.result).code, 0);
  t.regex(notes(), /^ready :\d+\nsaved\n$/);
});

const RULES = (application: string): string => `rule all:
    input: "result"
rule work:
    output: "result"
    shell: "${application} {output}"
`;

needsUser('with --signal-all, the program of a snakemake that dies of TERM hears of it, and saves', async t => {
  const application = join(t.context.base, 'application');
  writeFileSync(application, `#!/bin/sh
    trap 'echo saved >>notes; exit 0' TERM
    echo ready >>notes
    while :; do sleep 0.05; done\n`, {mode: 0o755});
  writeFileSync(join(t.context.base, 'Snakefile'), RULES(application));
  const run = t.context.start(['--signal-all', '--stop-timeout', '30', '--', 'snakemake', '--cores', '1'], {cwd: t.context.base, environment: {HOME: t.context.base, ...PINNED}});
  const notes = (): string => readFileSync(join(t.context.base, 'notes'), {encoding: 'utf8', flag: 'a+'});
  await eventually('the program to be there', () => notes() === 'ready\n');
  run.child.kill('SIGTERM');
  await run.result;
  t.is(notes(), 'ready\nsaved\n');
});

needsUser('chromium without a head prints the page alone, and has no complaint about the session bus', async t => {
  const page = join(t.context.base, 'page.html');
  writeFileSync(page, '<p>hello</p>\n');
  const {code, stdout, stderr} = await session(t.context, `chromium --headless --no-sandbox --disable-gpu --dump-dom 'file://${page}'`);
  t.is(code, 0);
  t.is(stdout.replace(/\s/g, ''), '<html><head></head><body><p>hello</p></body></html>');
  t.notRegex(stderr, /Unknown address type|session bus/i);
});

/** Prints a line for each dbus-daemon of this test. */
const DAEMONS = `for process in /proc/[0-9]*; do
      grep -qs "JOBBUS_TEST_MARK=$JOBBUS_TEST_MARK" "$process/environ" && grep -x dbus-daemon "$process/comm"
    done`;

needsUser('podman finds the bus, and starts no daemon of its own', async t => {
  const {code, stdout} = await session(t.context, `podman ps --quiet\n${DAEMONS} || true`);
  t.is(code, 0);
  t.is(stdout, 'dbus-daemon\n');
});
