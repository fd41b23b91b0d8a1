/**
 * The keyring of a session: gnome-keyring-daemon, unlocked before the command starts, lest a program wait for a prompt that nobody sees.
 *
 * It is a service of the session's as those that the bus starts: a child of the keeper. The password reaches it by a pipe, and nothing else.
 */

import {mkdirSync} from 'node:fs';
import {failed, quote, success, systemReason, type Failure, type Result} from '../cli/failure.js';
import {systemError} from '../system/errno.js';
import {statusOf, type Process} from '../system/processes.js';
import {busSocket} from './bus-plan.js';
import {secretsStanding} from './bus/secrets.js';
import {KEYRING_LOG, lastLogLines, tell, type Keeper} from './keeper.js';
import type {KeyringPlan} from './keyring-plan.js';

/** Milliseconds, on a node on which all wait for a processor, as for the daemon; measured where none does: 60. */
const SERVE_TIME = 30_000;

/** @returns it, as soon as it has a pid */
export async function startKeyring(keeper: Keeper, {binary, keyrings}: KeyringPlan): Promise<Result<Process>> {
  try {
    // There already: else the user's would be taken, where they still have those of old, in ~/.gnome2.
    if (keyrings !== undefined) {
      mkdirSync(keyrings, {recursive: true, mode: 0o700});
    }
  } catch (error) {
    return failed({kind: 'record', path: keeper.plan.directory, reason: systemReason(error)});
  }

  const {keyring, unstarted} = keeper.reports.said;
  tell(keeper, 'keyring');
  const pid = await Promise.race([keyring, unstarted.then(() => undefined)]);
  if (pid === undefined) {
    const errno = await unstarted;
    return failed({kind: 'helper', helper: binary, reason: errno === undefined ? 'the keeper has ended' : systemReason(systemError(errno))});
  }

  return success(statusOf(pid) ?? {pid, startTime: ''});
}

/** Waits until the keyring serves. @returns what failed if what a program would use is not unlocked */
export async function keyringFailure(keeper: Keeper, {binary, file}: KeyringPlan, {pid}: Process): Promise<Failure | undefined> {
  const {directory, address} = keeper.plan;
  const gone = keeper.reports.said.gone.then(() => 'gone' as const);
  const password = file === undefined ? 'its password' : `the password in ${quote(file)}`;
  switch (await Promise.race([gone, secretsStanding(busSocket(directory, address), pid, SERVE_TIME)])) {
    case 'open':
      return undefined;
    case 'locked':
      return {kind: 'keyring', keyring: 'login', reason: `${password} is not the right one`, advice: 'write the right one into the file'};
    case 'missing':
      return file === undefined
        ? {kind: 'record', path: directory, reason: 'the keyring cannot write its keyrings there, which may be full'}
        : {kind: 'keyring', keyring: 'login', reason: 'there is none yet, and none could be made', advice: 'see whether there is room for it at home'};
    case 'other':
      return {kind: 'keyring', keyring: 'default', reason: `it is not the login keyring, and ${password} opens only that`, advice: 'make the login keyring the default one'};
    case 'gone':
      return {kind: 'daemon', binary, asked: undefined, problem: 'it ended before it served secrets', log: lastLogLines(keeper.plan, KEYRING_LOG)};
    case undefined:
      return {kind: 'daemon', binary, asked: undefined, problem: `it did not serve secrets within ${SERVE_TIME / 1000} s`, log: lastLogLines(keeper.plan, KEYRING_LOG)};
  }
}
