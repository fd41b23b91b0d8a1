/** Files of the test suite, with the installed program under test. */

import type {Case, Topic} from './cases.js';

/** By their names, without what all of them end with. */
const FILES = [
  'address', 'command-line', 'descent', 'descriptors', 'difference', 'doctor', 'early-usr1', 'environment', 'epilog', 'every-signal',
  'exactly-once', 'exit-status', 'forwarding', 'hidden', 'hindrances', 'job', 'job-control', 'join', 'keeper-killed', 'killed', 'launcher',
  'leftovers', 'limits', 'list', 'lock', 'many', 'map-signal', 'marker', 'odd-signals', 'odd-trees', 'options', 'other-job', 'place',
  'record', 'removal', 'run', 'set-up-signals', 'share', 'shell', 'shell-owner', 'signal-all', 'sweep', 'teardown', 'time-namespace',
  'upgrade', 'wait', 'working-directory',
];

/** Patterns of titles, by files. */
type Titles = Readonly<Record<string, string>>;

/** They want what no tree has: a compiler, a FUSE, the machine's first pid namespace. */
const WITHOUT: Titles = {
  'keeper-killed': 'killed before any step*',
  doctor: 'each base that cannot serve*',
  sweep: 'from another pid namespace*',
};

/** Its fish has no --no-config, its unshare has the child ignore TERM, and its posix_spawn says EPERM, whatever has failed. */
export const WITHOUT_ON_DEBIAN_11: Titles = {
  hindrances: 'a limit of processes',
  join: 'fish*',
  shell: 'fish*',
  'shell-owner': 'without a supervisor*',
  sweep: 'a live session in another pid namespace*',
  upgrade: 'fish*',
  'time-namespace': 'a live session of another*',
};

function fileCase(name: string, without: readonly Titles[]): Case {
  const options = without.map(titles => titles[name]).filter(title => title !== undefined).map(title => `--match='!${title}'`);
  return {name, lines: `suite build/test/${name}.test.js ${options.join(' ')} && left`, prints: /^ +\d+ tests? passed\n( +\d+ tests? skipped\n)?\s*nothing left$/m};
}

/** @param without what the system cannot run */
export function suite(without: Titles = {}): Topic {
  return {
    title: 'the suite',
    packages: [
      'bash', 'busybox', 'zsh', 'tcsh', 'fish', 'python3', 'python3-dbus', 'perl', 'strace', 'procps', 'iproute2', 'dbus-tests', 'libglib2.0-bin', 'libcap2-bin', 'passwd', 'openssh-client',
    ],
    version: 'echo "Node $(/opt/suite/node --version | tr -d v)"',
    needsSuite: true,
    before: `
  cd /opt/suite
  export JOBBUS_TEST_PROGRAM=/opt/jobbus-run/bin/jobbus-run
  suite() { ./node node_modules/ava/entrypoints/cli.mjs --no-color "$@"; }`,
    cases: FILES.map(name => fileCase(name, [WITHOUT, without])),
  };
}
