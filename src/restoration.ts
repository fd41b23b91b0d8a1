/** What Node has erased, restored for the command: by the descriptors that it starts with, sh/trampoline.sh, and env(1). */

import {spawnSync, type StdioOptions} from 'node:child_process';
import {constants} from 'node:fs';
import {isText, printfEscaped} from './bytes.js';
import {flagsOf, type Caller} from './inherited.js';
import trampoline from './sh/trampoline.sh';

/** What to execute so that the command finds what the caller handed down. */
export interface Restoration {
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly stdio: StdioOptions;
  /** Where the trampoline waits for a line before it becomes the command; none where the caller has left no number for it. */
  readonly gate: number | undefined;
}

/** @param environment the command's */
export function restoring(caller: Caller, environment: Readonly<Record<string, string>>, command: readonly [string, ...string[]]): Restoration {
  if (caller.openFiles === undefined) {
    return {words: command, environment, stdio: commandStdio(caller.descriptors, new Map()), gate: undefined};
  }

  const [gate, ...free] = freeNumbers(caller);
  const detours = findDetours(caller, free);
  const ignored = caller.ignoredSignals.join(' ') || '-';
  const closed = [0, 1, 2].filter(descriptor => isClosed(caller, descriptor));
  const pass = gate === undefined ? '' : `read -r ${freeName(environment)} <&${gate} || exit; exec ${gate}<&-; `;
  const redirections = [...[...detours].map(([descriptor, by]) => `${descriptor}<&${by} ${by}<&-`), ...closed.map(descriptor => `${descriptor}<&-`)].join(' ');
  const words = [...environmentWords(caller, environment, command[0]), ...command];
  const passed = words.every(isText) ? ['-', ...words] : [...words.map(word => `%${printfEscaped(word)}`), '-'];
  return {
    words: ['/bin/sh', '-c', trampoline, 'jobbus-run', caller.openFiles, ignored, `${pass}exec ${redirections}`, ...passed],
    environment: Object.fromEntries(Object.entries(environment).filter(([name, value]) => isText(name) && isText(value))),
    stdio: commandStdio(caller.descriptors, detours, gate),
    gate,
  };
}

/** The numbers that the caller does not use, and that dash can name, which are of one digit. */
function freeNumbers({descriptors}: Caller): number[] {
  return [3, 4, 5, 6, 7, 8, 9].filter(number => !descriptors.includes(number));
}

/** A name for a variable of the trampoline's own: one that the command has would be changed. */
function freeName(environment: Readonly<Record<string, string>>): string {
  let name = 'line';
  while (environment[name] !== undefined) {
    name += '_';
  }

  return name;
}

/**
 * Libuv makes 0, 1 and 2 of a child blocking, and with them every descriptor of the same file, whoever has it. Those that are
 * not blocking therefore take a detour through a number that is free.
 */
function findDetours(caller: Caller, free: readonly number[]): ReadonlyMap<number, number> {
  const nonblocking = [0, 1, 2].filter(number => !isClosed(caller, number) && (flagsOf(number) & constants.O_NONBLOCK) !== 0);
  return new Map(nonblocking.slice(0, free.length).map((descriptor, index) => [descriptor, free[index]!]));
}

function isClosed({closedDescriptors}: Caller, descriptor: number): boolean {
  return closedDescriptors.includes(String(descriptor));
}

/** Every descriptor at its own number, but for the detours. */
function commandStdio(descriptors: readonly number[], detours: ReadonlyMap<number, number>, gate?: number): StdioOptions {
  const stdio: Array<'ignore' | 'pipe' | number> = [];
  const put = (descriptor: 'pipe' | number, at: number): void => {
    while (stdio.length <= at) {
      stdio.push('ignore');
    }

    stdio[at] = descriptor;
  };
  for (const descriptor of [0, 1, 2, ...descriptors]) {
    put(descriptor, detours.get(descriptor) ?? descriptor);
  }

  if (gate !== undefined) {
    put('pipe', gate);
  }

  return stdio;
}

/** What sh cannot do is done behind it by env(1). */
function environmentWords(caller: Caller, environment: Readonly<Record<string, string>>, command: string): string[] {
  const blocking = blockingOptions(caller.blockedSignals);
  const words = unalteredBySh(caller, environment, blocking);
  return words.length > 0 && command.includes('=') ? [...words, ...PLAIN_EXEC] : words;
}

/** The words before a command that put right what sh drops from the environment, adds or changes. */
export function unalteredBySh({alteredNames}: Caller, environment: Readonly<Record<string, string>>, options: readonly string[] = []): string[] {
  const removed = alteredNames.filter(name => environment[name] === undefined);
  const restored = alteredNames.filter(name => environment[name] !== undefined);
  return alteredNames.length + options.length === 0
    ? []
    : [ENV, ...options, ...removed.flatMap(name => ['-u', name]), ...restored.map(name => `${name}=${environment[name]!}`)];
}

/** env(1) takes a name with an equals sign for another variable; this changes nothing and is none. */
const PLAIN_EXEC = ['nice', '-n', '0'];

const ENV = '/usr/bin/env';

/** Only the env of coreutils 8.31 or later can. */
function blockingOptions(signals: readonly number[]): string[] {
  const option = `--block-signal=${signals.join(',')}`;
  return signals.length > 0 && spawnSync(ENV, [option, '/bin/sh', '-c', ':']).status === 0 ? [option] : [];
}
