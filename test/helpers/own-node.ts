/** A node of a test's own: a mount namespace whose /tmp and /dev/shm are as the test wants them, and nobody else's. */

import {chmodSync, cpSync, existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {needsRoot, project, sessionsIn, test, type Bench, type Result, type Run} from './jobbus.js';
import {installFor} from './nobody.js';
import {killEverything} from './sessions.js';
import {asUser, type User} from './users.js';

/** Where there is no FUSE, CI fails, and others are told that it was not tried. */
export const needsFuse = existsSync('/dev/fuse') || process.env.CI ? needsRoot : test.skip;

export interface EnterOptions {
  /** Root, without one. */
  readonly user?: User | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Words before the others. */
  readonly prefix?: readonly string[];
  readonly input?: string;
}

export interface OwnNode {
  /** The node's /tmp, as seen from outside; bare, whatever is mounted on it. */
  readonly tmp: string;
  readonly shm: string;
  /** Starts a program in the node. */
  readonly start: (words: readonly string[], options?: EnterOptions) => Run;
  /** Runs jobbus-run in the node, and waits for its end. */
  readonly run: (words: readonly string[], options?: EnterOptions) => Promise<Result>;
  readonly sessions: () => string[];
}

/** Of the bench, which is at /mnt there: its own place, in /tmp, is hidden by the node's. */
const INSTALL = '/mnt/install';
export const NODE_BINARY = `${INSTALL}/bin/jobbus-run`;

export function nodeFixture(name: string): string {
  return `${INSTALL}/fixtures/${name}`;
}

/** Shell lines for {@link startNode}: serves the directory so that nobody can bind, or connect, a socket there. */
export function withoutSockets(directory: string, refused: 'bind' | 'connect' = 'bind'): string {
  return withServer(directory, `${nodeFixture('refuses-sockets')} ${directory} ${refused}`);
}

/** Shell lines for {@link startNode}: mounts a FUSE file system of a server's, and waits for it. */
export function withServer(directory: string, server: string): string {
  return `${server} </dev/null >/dev/null 2>&1 &
    until [ "$(stat -f -c %t ${directory})" = 65735546 ]; do sleep 0.02; done`;
}

let nodes = 0;

/**
 * Starts a node that ends with the test.
 *
 * @param lines for sh, run by root in the node before all else
 * @param namespaces beside that of mounts, as unshare(1) and nsenter(1) call them
 */
export async function startNode(t: ExecutionContext<Bench>, lines = '', namespaces: readonly string[] = []): Promise<OwnNode> {
  const bench = t.context;
  const [tmp, shm] = ['tmp', 'shm'].map(name => join(bench.base, name)) as [string, string];
  for (const directory of [tmp, shm]) {
    mkdirSync(directory);
    chmodSync(directory, 0o1777);
  }

  installFor(bench);
  cpSync(join(project, 'fixtures'), join(bench.base, 'install/fixtures'), {recursive: true});
  const number = String(++nodes);
  const script = `mount --bind "$BASE" /mnt
    mount --bind /mnt/shm /dev/shm; mount --bind /mnt/tmp /tmp; cd /
    ${lines}
    echo ready
    exec tail -f /dev/null`;
  const holder = bench.start(['--mount', ...namespaces, '/bin/sh', '-ec', script], {
    program: 'unshare',
    environment: {BASE: bench.base, JOBBUS_TEST_NODE: `${process.pid}-${number}`},
  });
  t.teardown(async () => {
    await killEverything(`JOBBUS_TEST_NODE=${process.pid}-${number}`);
    await holder.result;
  });
  await holder.line(/^ready$/);
  const start = (words: readonly string[], {user, environment, prefix = [], input = ''}: EnterOptions = {}): Run =>
    bench.start(['-t', String(holder.pid), '--mount', ...namespaces, 'setpriv', ...(user === undefined ? [] : asUser(user)), ...prefix, ...words], {
      program: 'nsenter',
      input,
      environment: {JOBBUS_RUNTIME_BASE: '', HOME: '/nowhere', TMPDIR: undefined, ...environment},
    });
  return {
    tmp,
    shm,
    start,
    run: async (words, options) => start([NODE_BINARY, ...words], options).result,
    sessions: () => [tmp, shm].flatMap(sessionsIn),
  };
}
