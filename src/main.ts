/** Table of contents: caller, options, one of the modes, exit status. */

import {writeFileSync} from 'node:fs';
import {exitStatus, wording} from './cli/failure.js';
import {log, print, warn} from './cli/log.js';
import {sweptBases} from './session/place/candidates.js';
import {HELP} from './cli/help.js';
import {listSessions} from './upkeep/list.js';
import {VERSION_LINE} from './cli/options.js';
import {isEvaluated, parseOptions} from './cli/parse.js';
import {run} from './run/run.js';
import {taskOf} from './cli/task.js';
import {runShared} from './run/share.js';
import {goOnUnstarted} from './run/unstarted.js';
import {listenForSignals} from './session/incoming.js';
import {joinSession} from './shell/join.js';
import {openSession} from './shell/open.js';
import {stopSession} from './shell/owned.js';
import {readCaller, type Caller} from './system/caller.js';
import {diagnose} from './upkeep/doctor.js';
import {sweepAsAsked} from './upkeep/sweep.js';
import {sweepAsUser} from './upkeep/sweep-user.js';
import {ifPossible} from './system/if-possible.js';
import {run as runLoop} from './system/loop.js';
import {exit} from './system/spawn.js';

async function main(caller: Caller): Promise<number> {
  const incoming = listenForSignals(caller);
  const options = parseOptions(caller.words, caller.environment);
  if (!options.ok) {
    warn(wording(options.failure)!);
    return failedFor(caller.words, exitStatus(options.failure));
  }

  log.verbose = 'verbose' in options.value && options.value.verbose;
  switch (options.value.mode) {
    case 'help':
    case 'version':
      incoming.letGo();
      print(options.value.mode === 'help' ? HELP : VERSION_LINE);
      return printed(0, caller);
    case 'run':
      return options.value.share === undefined ? run(options.value, caller, incoming) : runShared(options.value, caller, incoming);
    case 'shell':
      return failedFor(caller.words, await openSession(options.value, caller, incoming));
    case 'stop':
      return failedFor(caller.words, await stopSession(options.value, caller));
    case 'join':
      return failedFor(caller.words, await joinSession(options.value, caller, incoming));
    case 'list':
      incoming.letGo();
      print(await listSessions(sweptBases(caller.environment, options.value.runtimeBase), options.value.json));
      return printed(0, caller);
    case 'sweep':
      if (caller.keeperOf === undefined) {
        incoming.letGo();
      } else {
        incoming.stopForwarding(); // Nobody but we can end what is left.
      }

      return options.value.user === undefined
        ? sweepAsAsked(options.value, sweptBases(caller.environment, options.value.runtimeBase), caller)
        : sweepAsUser(options.value, options.value.user, caller);
    case 'doctor':
      incoming.letGo();
      return printed(await diagnose(options.value, caller, incoming), caller);
  }
}

/** A mode that does nothing but say something has failed where that is lost. Of a reader that has read enough it dies, as any program. */
function printed(status: number, {closed}: Caller): number {
  const problem = closed.includes('1') ? 'it is closed' : log.unprinted;
  if (problem === undefined) {
    return status;
  }

  warn(`writing to stdout failed: ${problem}; send it elsewhere`);
  return 125;
}

/** What a shell evaluates must fail there, too: of nothing, the status is 0. In every shell, this is 1. */
function failedFor(words: readonly string[], status: number): number {
  if (status !== 0 && isEvaluated(words)) {
    print('false\n');
  }

  return status;
}

const caller = readCaller();
if (typeof caller === 'string') {
  warn(`starting the supervisor failed: ${caller}`);
  exit(failedFor(process.argv.slice(2), 125));
}

// As ps(1) and pkill(1) see us; the engine's file has another name. Where /proc is read-only, it stays.
ifPossible(() => writeFileSync('/proc/self/comm', 'jobbus-run'));

// Where programs of the system are looked for: the engine's own environment has no PATH.
if (caller.environment.PATH !== undefined) {
  process.env.PATH = caller.environment.PATH;
}

log.task = taskOf(caller.environment);

try {
  exit(caller.isUnstarted ? goOnUnstarted(caller) : runLoop(main(caller)));
} catch (error) {
  // A bug. The keeper sees us go and cleans up.
  warn(`internal error: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
  exit(failedFor(process.argv.slice(2), 125));
}
