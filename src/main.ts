/** Table of contents: caller, options, one of the modes, exit status. */

import {loadDoctor, loadHelp, loadShell, loadUpkeep} from './bundles.js';
import {sweptBases} from './candidates.js';
import {exitStatus, wording} from './failure.js';
import {readCaller} from './inherited.js';
import {explain, log, print, warn} from './log.js';
import {isEvaluated, parseOptions, VERSION_LINE, type Options} from './options.js';
import {isHelper, ownJob} from './processes.js';
import {run} from './run.js';
import {listenForSignals} from './signals.js';

async function main(): Promise<number> {
  const signals = listenForSignals();
  const caller = readCaller(process.env);
  signals.setIgnored(caller.ignoredSignals);
  const options = parseOptions(caller.words, caller.environment);
  if (!options.ok) {
    warn(wording(options.failure)!);
    return failedFor(caller.words, exitStatus(options.failure));
  }

  if (canBeBrokenOff(options.value) && !isHelper(caller.environment)) {
    signals.stopListening();
  }

  switch (options.value.mode) {
    case 'help':
      print(loadHelp().HELP);
      return 0;
    case 'version':
      print(VERSION_LINE);
      return 0;
    case 'list':
      print(loadUpkeep().listSessions(sweptBases(caller.environment, options.value.runtimeBase), options.value.json));
      return 0;
    case 'shell':
      return failedFor(caller.words, await loadShell().openSession(options.value, caller, signals));
    case 'stop':
      return failedFor(caller.words, await loadShell().stopSession(options.value, caller));
    case 'doctor':
      return loadDoctor().diagnose(options.value, caller);
    case 'sweep': {
      if (options.value.user !== undefined) {
        return loadUpkeep().sweepAsUser(options.value, options.value.user);
      }

      // A keeper has its session's environment, and so its job's.
      const job = isHelper(caller.environment) ? ownJob(caller.environment) : undefined;
      return loadUpkeep().sweepAsAsked(options.value, sweptBases(caller.environment, options.value.runtimeBase), job);
    }
    case 'run':
      log.verbose = options.value.verbose;
      if (caller.problem !== undefined) {
        explain(`reading what the launcher recorded failed: ${caller.problem}; the command gets what Node has left of descriptors, limits and signals`);
      }

      return run(options.value, caller, signals);
  }
}

/** What only looks, wherever it hangs, and a sweep, which another can go on with; but for one whose child only we end in time. */
function canBeBrokenOff(options: Options): boolean {
  const isOwnSweep = options.mode === 'sweep' && [undefined, process.getuid!()].includes(options.user);
  return isOwnSweep || options.mode === 'list' || options.mode === 'doctor';
}

/** What a shell evaluates must fail there, too: of nothing, the status is 0. In every shell, this is 1. */
function failedFor(words: readonly string[], status: number): number {
  if (status !== 0 && isEvaluated(words)) {
    print('false\n');
  }

  return status;
}

void main().then(
  status => process.exit(status),
  (error: unknown) => {
    // A bug. The keeper sees us go and cleans up.
    warn(`internal error: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
    process.exit(failedFor(process.argv.slice(2), 125));
  },
);
