/** The session that the calling shell owns, and its end: by `--stop`, which gives the shell back the variables of before. */

import {answering} from '../session/place/answers.js';
import {ancestors, findCallingShell, type CallingShell} from './calling-shell.js';
import {sweptBases} from '../session/place/candidates.js';
import {basename, dirname} from '../session/place/directory.js';
import type {Failure} from '../cli/failure.js';
import {print, warn} from '../cli/log.js';
import type {StopOptions, Syntax} from '../cli/options.js';
import {isAlive} from '../system/processes.js';
import {whereabouts, type ShellPart} from '../session/record.js';
import {report} from '../session/begin.js';
import {undoing} from '../session/environment.js';
import {endFoundSession} from '../session/claim.js';
import {keptDirectory} from '../session/frame.js';
import {signal, waitUntil} from '../session/members/members.js';
import {findSessions, isSessionPath, type FoundSession} from '../session/sessions.js';
import type {Caller} from '../system/caller.js';
import {SIGNALS} from '../system/signals.js';
import {changingCode, isSayable} from './shell-syntax.js';

/** How people write it. */
export const FORMS: Readonly<Record<Syntax, (option: string) => string>> = {
  sh: option => `eval "$(jobbus-run ${option})"`,
  csh: option => `eval \`jobbus-run ${option}\``,
  fish: option => `jobbus-run ${option} | source`,
};

/** @param form as people are to write it */
export function noShell(form: string): Failure {
  return {kind: 'shell', problem: `looking for the calling shell failed: none reads what is printed; write ${form}`};
}

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

/** The live session that the shell owns, and that nobody is ending yet. */
export async function sessionOf(shell: CallingShell, runtimeBase: string | undefined, {environment}: Caller): Promise<FoundSession | undefined> {
  const {pidNamespace} = whereabouts();
  const bases = new Set([...sweptBases(environment, runtimeBase), ...mentionedBases(environment)]);
  return findSessions(await answering([...bases])).find(({directory, name, state, record}) =>
    state === 'live' && basename(directory) === name && record?.shell !== undefined && record.pidNamespace === pidNamespace
    && record.owner.pid === shell.pid && record.owner.startTime === shell.startTime);
}

/** Of the session whose variables the shell has: it may be where no other run would look. */
function mentionedBases({XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS}: Readonly<Record<string, string>>): string[] {
  const socket = /^unix:path=([^,;]*)\/bus(?:[,;]|$)/.exec(DBUS_SESSION_BUS_ADDRESS ?? '')?.[1];
  const unescaped = socket?.replace(/%([\da-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  const bus = unescaped && Buffer.from(unescaped, 'latin1').toString();
  return [XDG_RUNTIME_DIR, bus].filter(path => path !== undefined && isSessionPath(path)).map(path => dirname(dirname(path!)));
}

/** Ends the session while the shell lives on. @returns undefined when another process is at it */
export async function endOwned(session: FoundSession): Promise<ShellPart | undefined> {
  const shell = session.record!.shell!;
  // Anybody may write into the record; nobody can foresee the session's name.
  const keeper = isAlive(shell.keeper) && basename(keptDirectory(shell.keeper.pid) ?? '') === session.name ? shell.keeper : undefined;
  // The shell waits for us; and one that was executed in the place of another bears the marks of its own session.
  const remains = await endFoundSession(session, {keeper, spared: ancestors()});
  if (remains === undefined) {
    return undefined;
  }

  remains.forEach(warn);
  if (keeper !== undefined) {
    // It watches the shell, and hears nothing else any more: its pipe has ended with whom has started it.
    signal(keeper, SIGNALS.KILL);
    await waitUntil(() => !isAlive(keeper), KEEPER_STOP_TIME);
  }

  return shell;
}

const KEEPER_STOP_TIME = 1500;
