/** `--share`: the first makes a session, as any run, and waits for the others; each of these becomes its command in it. */

import {wording} from '../cli/failure.js';
import {explain, warn} from '../cli/log.js';
import type {RunOptions} from '../cli/options.js';
import {report, unlessInterrupted} from '../session/begin.js';
import type {Incoming} from '../session/incoming.js';
import {asJoinable, becomeMember, joinedVariables, unjoinable, type Joinable} from '../session/joining.js';
import {meet, type Rendezvous} from '../session/rendezvous.js';
import {findSession} from '../session/sessions.js';
import {sharedWords, shareKey} from '../session/sharing.js';
import {directoryOf, type Caller} from '../system/caller.js';
import {findExecutable} from '../system/executable.js';
import {runFound} from './run.js';

/** @returns the exit status, where this process does not become the command */
export async function runShared(options: RunOptions, caller: Caller, incoming: Incoming): Promise<number> {
  const path = findExecutable(options.command[0], caller.environment.PATH, directoryOf(caller));
  if (!path.ok) {
    return report(path.failure);
  }

  const key = shareKey(options.share ?? '', caller.environment);
  if (key === undefined) {
    return report({kind: 'share', problem: 'there is no job here of which all tasks could share one; name it, as in --share=NAME'});
  }

  for (let unfit: string | undefined; ;) {
    const waited = await unlessInterrupted(meet(key.digest, options.runtimeBase, caller.environment, unfit), incoming);
    const met = waited.ok ? waited.value : waited;
    if (!met.ok) {
      return report(met.failure);
    }

    if (typeof met.value !== 'string') {
      return beFirst(met.value, key.text, path.value, options, caller, incoming);
    }

    const status = join(met.value, path.value, options, caller, incoming);
    if (status !== undefined) {
      return status;
    }

    unfit = met.value;
  }
}

/** @returns the exit status of a failure; undefined where it cannot be joined */
function join(session: string, path: string, options: RunOptions, caller: Caller, incoming: Incoming): number | undefined {
  const found = findSession(session);
  const joinable = found === undefined ? unjoinable(session, 'it is gone') : asJoinable(session, found);
  if (!joinable.ok) {
    explain(`none can be shared: ${wording(joinable.failure)!}`);
    return undefined;
  }

  sayDisagreement(joinable.value, options);
  const words = caller.rawWords.slice(-options.command.length);
  const problem = becomeMember(joinable.value, {path, words}, joinedVariables(joinable.value, options.busOnly), caller, incoming, 'member');
  if (typeof problem !== 'string') {
    return report(problem);
  }

  explain(`${joinable.value.directory} cannot be shared: ${problem}`);
  return undefined;
}

function sayDisagreement({directory, record}: Joinable, options: RunOptions): void {
  const bus = record.share?.bus;
  if (bus !== undefined && bus !== sharedWords(options)) {
    warn(`sharing ${directory}: it was begun with ${bus}, and not with ${sharedWords(options)}; it stays as it is`);
  }
}

async function beFirst(rendezvous: Rendezvous, key: string, path: string, options: RunOptions, caller: Caller, incoming: Incoming): Promise<number> {
  explain(`the first to share a session by ${key}`);
  try {
    return await runFound(path, options, caller, incoming, {key, rendezvous});
  } finally {
    rendezvous.leave();
  }
}
