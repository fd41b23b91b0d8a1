/** The release's packages: made twice the same; installed in a fresh system, run and removed. */

import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {execa} from 'execa';
import {onExit} from 'signal-exit';
import {COMMIT_SECONDS} from './helpers/archive.js';
import {needsRoot, project, test, useBench, type Bench} from './helpers/jobbus.js';
import {ROOT_DIRECTORY_TIME, rootDirectory} from './helpers/root-directory.js';

useBench();

const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};

/** Milliseconds, on a busy machine, with ninety megabytes to compress. */
const PACKAGE_TIME = 600_000;

/** Skipped, and reported so, where no package can be made. */
const needsRpm = existsSync('/usr/bin/rpmbuild') || process.env.CI ? needsRoot : test.skip;

const ASK = 'jobbus-run -- dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId';

/** What makes the second one must not be seen in it. */
const ANOTHERS_WAYS = 'umask 077; export TZ=Asia/Tokyo LANG=C.UTF-8 LC_ALL=C.UTF-8 USER=another; exec taskset --cpu-list 0 "$@"';

/** Their size is not what the tests are about. */
const SETTINGS = {XZ_OPT: '-0', SOURCE_DATE_EPOCH: COMMIT_SECONDS};

let directory: string | undefined;

onExit(() => {
  if (directory !== undefined) {
    rmSync(directory, {recursive: true});
  }
});

/** @returns the path of what the script has made */
async function make(script: string, ways = 'exec "$@"'): Promise<string> {
  directory ??= mkdtempSync(join(tmpdir(), 'jbt-made-'));
  const place = mkdtempSync(join(directory, 'of-'));
  await execa('/bin/sh', ['-euc', ways, 'sh', 'node', script, process.arch, place], {cwd: project, env: SETTINGS});
  return join(place, readdirSync(place)[0]!);
}

const made = new Map<string, Promise<string>>();

/** The same, made once. */
async function madeBy(script: string): Promise<string> {
  const file = made.get(script) ?? make(script);
  made.set(script, file);
  return file;
}

for (const script of ['archive.js', 'deb.js', 'rpm.js', 'manifest.js']) {
  needsRpm(`${script} makes the same twice, whoever calls it`, async t => {
    t.timeout(PACKAGE_TIME);
    const [first, second] = [await madeBy(script), await make(script, ANOTHERS_WAYS)];
    t.true(readFileSync(first).equals(readFileSync(second)));
  });
}

/** A system of which only what changes is its own, `root`; `changed` lists that. */
const IN_SYSTEM = `
  mount -t tmpfs none "$1"
  cd "$1"
  mkdir changes work root
  mount -t overlay -o "lowerdir=$2,upperdir=changes,workdir=work" none root
  mount --rbind /dev root/dev
  mount -t proc proc root/proc
  mount -t tmpfs none root/tmp
  cp "$3" root/tmp/package
  changed() { find changes -mindepth 1 ! -type d; find changes -name '*jobbus*'; }
  inside() { /usr/sbin/chroot root "$@"; }`;

/** @returns what the lines have printed */
async function inSystem(bench: Bench, file: string, lines: string): Promise<string> {
  const place = join(bench.base, 'system');
  mkdirSync(place);
  const words = ['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-euc', `${IN_SYSTEM}\n${lines}`, 'sh', place, await rootDirectory(), file];
  const {code, stdout, stderr} = await bench.run(words, {program: 'unshare', environment: {JOBBUS_RUNTIME_BASE: ''}});
  if (code !== 0) {
    throw new Error(`It ended with ${String(code)}: ${stdout}${stderr}`);
  }

  return stdout;
}

/** What is there between installing and removing; the directory is zsh's. */
const used = (functions: string): string => `
  inside ${ASK} | grep -Ex ' *[0-9a-f]{32} *' | sed 's/.*/an answer/'
  inside jobbus-run --version | sed 's/ [0-9].*//'
  inside stat -c '%a %U %n' /usr/bin/jobbus-run /usr/lib/jobbus-run/supervisor /usr/share/man/man1/jobbus-run.1.gz /usr/share/jobbus-run/LICENSES \\
    /usr/share/bash-completion/completions/jobbus-run /usr/share/zsh/${functions}/_jobbus-run /usr/share/fish/vendor_completions.d/jobbus-run.fish
  zcat root/usr/share/man/man1/jobbus-run.1.gz | head -n 1 | cut -d ' ' -f 1-2`;

const seen = (functions: string): string => `an answer
jobbus-run
755 root /usr/bin/jobbus-run
755 root /usr/lib/jobbus-run/supervisor
644 root /usr/share/man/man1/jobbus-run.1.gz
644 root /usr/share/jobbus-run/LICENSES
644 root /usr/share/bash-completion/completions/jobbus-run
644 root /usr/share/zsh/${functions}/_jobbus-run
644 root /usr/share/fish/vendor_completions.d/jobbus-run.fish
.TH JOBBUS\\-RUN
`;

needsRpm('the package for Debian is installed, runs, and leaves nothing when it is removed', async t => {
  t.timeout(PACKAGE_TIME + ROOT_DIRECTORY_TIME);
  const deb = await madeBy('deb.js');
  t.is((await execa('dpkg-deb', ['--field', deb, 'Depends'])).stdout, 'dbus-daemon | dbus, libc6 (>= 2.17)');
  const lines = `
    inside dpkg --install /tmp/package >/dev/null
    inside dpkg --verify jobbus-run
    ${used('vendor-completions')}
    test -s root/usr/share/doc/jobbus-run/copyright
    inside dpkg --purge jobbus-run >/dev/null
    changed | grep -Ev '^changes/var/(lib/dpkg|log)/' || true`;
  t.is(await inSystem(t.context, deb, lines), seen('vendor-completions'));
});

needsRpm('the package for Red Hat and SUSE is installed, runs, and leaves nothing when it is removed', async t => {
  t.timeout(PACKAGE_TIME + ROOT_DIRECTORY_TIME);
  const rpm = await madeBy('rpm.js');
  const lines = `
    changes() { rpm --root "$PWD/root" --dbpath /var/lib/rpm "$@"; }
    changes --install root/tmp/package 2>&1 | grep -E 'dbus-daemon' | xargs
    changes --install --nodeps root/tmp/package
    changes --verify --nodeps jobbus-run
    ${used('site-functions')}
    changes --erase jobbus-run
    changed | grep -Ev '^changes/var/lib/rpm/' || true`;
  t.is(await inSystem(t.context, rpm, lines), `/usr/bin/dbus-daemon is needed by jobbus-run-${version}-1.${process.arch === 'x64' ? 'x86_64' : 'aarch64'}\n${seen('site-functions')}`);
});

interface Component {
  readonly name: string;
  readonly version?: string;
  readonly licenses: ReadonlyArray<{readonly expression: string}>;
  readonly components?: readonly Component[];
}

function withParts(component: Component): Component[] {
  return [component, ...(component.components ?? []).flatMap(withParts)];
}

needsRpm('the manifest names each part, with its terms, as LICENSES does', async t => {
  t.timeout(PACKAGE_TIME);
  const {components} = JSON.parse(readFileSync(await madeBy('manifest.js'), 'utf8')) as {components: readonly Component[]};
  const all = components.flatMap(withParts);
  const named = all.map(({name}) => name);
  const licences = readFileSync(join(project, 'LICENSES'), 'utf8');
  t.deepEqual(named.filter(name => !licences.toLowerCase().replace(/\s+/g, ' ').includes(name.toLowerCase())), []);
  const holders = Array.from(licences.matchAll(/^([\w.-]+(?:, [\w.-]+)*): (?:Copyright|\(C\))/gm), ([, names]) => names!.split(', ')).flat();
  t.true(holders.length > 20);
  t.deepEqual(holders.filter(name => !named.includes(name)), []);
  t.deepEqual(all.filter(({name, version}) => ['bun', 'glibc', 'libgcc'].includes(name) && !/^[\d.]+$/.test(version ?? '')), []);
});
