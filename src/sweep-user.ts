/**
 * `--sweep --uid USER`, for root in an Epilog: the sweep in the name of a user whose job has ended.
 *
 * Root itself touches no path that a user can shape: a child does, as the user, with nothing but a PATH in its environment and in the fixed
 * places only. And whatever that child runs into, a stuck mount or ten million files, the Epilog goes on in time: Slurm
 * drains a node whose Epilog fails.
 */

import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {writeSync} from 'node:fs';
import {print, warn} from './log.js';
import {BECOME, type SweepOptions} from './options.js';
import {sweepAsAsked} from './sweep.js';

/** Milliseconds. */
const CHILD_TIME = 10_000;

/** Where runs put sessions whatever their environment says. */
const FIXED_BASES = ['/tmp', '/dev/shm'];

/** @returns the exit status */
export async function sweepAsUser(options: SweepOptions, user: number): Promise<number> {
  const ourselves = process.getuid!();
  if (ourselves === user) {
    return sweepAsAsked(options, FIXED_BASES);
  }

  if (ourselves !== 0) {
    warn(`sweeping as user ${user} failed: only root may; run jobbus-run --sweep as that user`);
    return 125;
  }

  return options.becomes ? becomeAndSweep(user) : waitForChild(user);
}

async function becomeAndSweep(user: number): Promise<number> {
  const entry = spawnSync('getent', ['passwd', String(user)], {encoding: 'utf8'}).stdout as string | null;
  const [name, , , group] = entry?.split(':') ?? [];
  if (name === undefined || group === undefined) {
    warn(`sweeping as user ${user} failed: there is no such user on this node; check the number`);
    return UNKNOWN_USER;
  }

  // Known to Node since 0.9, and not to its types.
  (process as unknown as {initgroups: (user: string, group: number) => void}).initgroups(name, Number(group));
  process.setgid!(Number(group));
  process.setuid!(user);
  // A process that has changed its user belongs to root in /proc, and before Linux 5.14 cannot look into its own fdinfo; who is
  // started by it can.
  const child = startSweep(user, [], 'inherit');
  return new Promise(resolve => child.once('exit', code => resolve(code ?? 1)));
}

const UNKNOWN_USER = 125;
const LAUNCH_BUNDLE = `${__dirname}/jobbus-run.cjs`;

/** In a process group of its own, so that all of it can be killed. */
function startSweep(user: number, words: readonly string[], stdio: 'inherit' | 'pipe'): ChildProcess {
  return spawn(process.execPath, [LAUNCH_BUNDLE, '--sweep', '--uid', String(user), ...words], {
    cwd: '/',
    detached: stdio === 'pipe',
    env: {PATH: '/usr/bin:/bin'},
    stdio: ['ignore', stdio, stdio],
  });
}

/**
 * The child writes to us and not to our stdout and stderr: one that cannot be killed must not hold what the Epilog's caller reads.
 *
 * @returns 0 also where something could not be removed: a user must not be able to fail an Epilog
 */
async function waitForChild(user: number): Promise<number> {
  const child = startSweep(user, [BECOME], 'pipe');
  child.stdout!.on('data', (chunk: Buffer) => print(chunk.toString()));
  child.stderr!.on('data', (chunk: Buffer) => void writeSync(2, chunk));
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      // Once the child is reaped, its group's number may be anybody's; what has left the group still holds the pipes.
      if (child.exitCode === null && child.signalCode === null) {
        process.kill(-child.pid!, 'SIGKILL');
      }

      warn(`sweeping as user ${user} failed: it was not done within ${CHILD_TIME / 1000} s; see what jobbus-run --list shows that user`);
      resolve(0);
    }, CHILD_TIME);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (signal !== null) {
        warn(`sweeping as user ${user} failed: ${signal} ended it`);
      }

      resolve(code === UNKNOWN_USER ? code : 0);
    });
  });
}
