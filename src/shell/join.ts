/** `--join`: a command, or a shell that evaluates what is printed, in a session that lives. */

import type {Failure} from '../cli/failure.js';
import {print} from '../cli/log.js';
import type {JoinOptions} from '../cli/options.js';
import {report} from '../session/begin.js';
import type {Incoming} from '../session/incoming.js';
import {beCallers, becomeMember, findJoinable, joinedVariables, type Joinable} from '../session/joining.js';
import {enter} from '../session/register.js';
import {directoryOf, type Caller} from '../system/caller.js';
import {findExecutable} from '../system/executable.js';
import {isSayable, joiningCode} from './shell-syntax.js';

/** @returns the exit status, where this process does not become the command */
export async function joinSession(options: JoinOptions, caller: Caller, incoming: Incoming): Promise<number> {
  beCallers(incoming);
  const [command] = options.command;
  const path = command === undefined ? undefined : findExecutable(command, caller.environment.PATH, directoryOf(caller));
  if (path?.ok === false) {
    return report(path.failure);
  }

  const joined = await findJoinable(options.session, options.runtimeBase, caller);
  if (!joined.ok) {
    return report(joined.failure);
  }

  const variables = joinedVariables(joined.value, options.busOnly);
  if (path === undefined) {
    return tell(options, joined.value, variables);
  }

  const words = caller.rawWords.slice(-options.command.length);
  return report(worded(options, becomeMember(joined.value, {path: path.value, words}, variables, caller, incoming)));
}

/** The shell's own variables: it is not ours, and what it starts from now on bears the session's marks. */
function tell(options: JoinOptions, {directory}: Joinable, variables: Readonly<Record<string, string | null>>): number {
  const changes = Object.entries(variables).map(([name, to]) => ({name, from: null, to}));
  const unsayable = changes.find(({to}) => !isSayable(options.syntax, to));
  const problem = unsayable === undefined ? enter(directory, undefined) : `the value of ${unsayable.name} has a line break, which ${options.syntax} cannot be told; use another shell`;
  if (problem !== undefined) {
    return report(worded(options, problem));
  }

  return print(joiningCode(options.syntax, changes)) ? 0 : report(worded(options, 'nobody reads its variables; write eval "$(jobbus-run --join SESSION)"'));
}

function worded({session}: JoinOptions, failure: Failure | string): Failure {
  return typeof failure === 'string' ? {kind: 'join', session, problem: failure} : failure;
}
