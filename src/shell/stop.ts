/** `--stop`: ends the session of the calling shell, and gives it back the variables of before. */

import {findCallingShell} from './calling-shell.js';
import {undoing} from '../session/environment.js';
import {print, warn} from '../cli/log.js';
import type {StopOptions} from '../cli/options.js';
import type {ShellPart} from '../session/record.js';
import {report} from '../session/begin.js';
import {changingCode, isSayable} from './shell-syntax.js';
import type {Caller} from '../system/caller.js';
import {endOwned, FORMS, noShell, sessionOf} from './owned.js';

/** @returns the exit status, once all of the session is gone */
export async function stopSession({runtimeBase}: StopOptions, caller: Caller): Promise<number> {
  const shell = findCallingShell();
  if (shell === undefined) {
    return report(noShell(FORMS.sh('--stop')));
  }

  const session = await sessionOf(shell, runtimeBase, caller);
  const ended = session && (await endOwned(session));
  return ended === undefined
    ? report({kind: 'shell', problem: `ending the session of process ${shell.pid} failed: it has none; see jobbus-run --list`})
    : restore(ended, caller);
}

function restore({syntax, changes}: ShellPart, caller: Caller): number {
  const restored = undoing(changes, caller.environment);
  for (const {name} of restored.filter(({to}) => !isSayable(syntax, to))) {
    warn(`restoring ${name} failed: its value has a line break, which ${syntax} cannot be told; it is unset`);
  }

  print(changingCode(syntax, restored.map(change => (isSayable(syntax, change.to) ? change : {...change, to: null}))));
  return 0;
}
