/** What is done instead of running a command, which options go with it, and the options that come of it. */

import {failed, quote, success, type Result} from './failure.js';
import {BECOME, type Options, type RunOptions, type Syntax} from './options.js';

/** As they are read. */
export type Settings = {-readonly [Key in keyof Omit<RunOptions, 'mode' | 'command'>]: RunOptions[Key]} & {syntax: Syntax | undefined};

/** What no session has a use for. */
export interface Asked {
  json: boolean;
  user: string | undefined;
  becomes: boolean;
  session: string;
}

interface Mode {
  /** The options that it has a use for, beside --verbose. */
  readonly takes: readonly string[];
  /** @param words behind the options */
  readonly parse: (words: readonly string[], settings: Settings, asked: Asked) => Result<Options>;
}

export const MODES: Readonly<Record<string, Mode>> = {
  '--doctor': {
    takes: ['--runtime-base', '--dbus-daemon', '--json'],
    parse: ([word], {runtimeBase, dbusDaemon, sources, verbose}, {json}) => withoutWords('--doctor', word, {mode: 'doctor', runtimeBase, dbusDaemon, sources, json, verbose}),
  },
  '--stop': {
    takes: ['--runtime-base'],
    parse: ([word], {runtimeBase, verbose}) => withoutWords('--stop', word, {mode: 'stop', runtimeBase, verbose}),
  },
  '--join': {
    takes: ['--runtime-base', '--bus-only', '--sh-syntax', '--csh-syntax', '--fish-syntax'],
    parse(command, {runtimeBase, busOnly, verbose, syntax}, {session}) {
      const join: Options = {mode: 'join', session, command, runtimeBase, busOnly, verbose, syntax: syntax ?? 'sh'};
      return syntax === undefined ? success(join) : withoutWords(`--${syntax}-syntax`, command[0], join);
    },
  },
  '--list': {
    takes: ['--runtime-base', '--json'],
    parse: ([word], {runtimeBase}, {json}) => withoutWords('--list', word, {mode: 'list', runtimeBase, json}),
  },
  '--sweep': {
    takes: ['--runtime-base', '--uid', BECOME],
    parse([directory, ...more], {runtimeBase}, {user, becomes}) {
      const isOne = directory === undefined || (directory.startsWith('/') && more.length === 0 && user === undefined);
      return isOne && (!becomes || user !== undefined)
        ? success({mode: 'sweep', runtimeBase, user, directory, becomes})
        : failed({kind: 'usage', problem: '--sweep takes --uid with a user, or the absolute path of one session directory'});
    },
  },
};

const VERBOSE = ['--verbose', '-v'];

/** Options of modes, and not of a session. */
const OF_MODES = ['--json', '--uid', BECOME];

/** Options of a command, and not of a shell's session. */
const OF_COMMANDS = ['--kill-after', '--signal-all', '--map-signal', '--wait', '--share'];

/** Of two, the user may mean either. */
const ONCE = ['--keyring', '--share', '--join'];

/** @param given the names of options. @returns what is wrong with them together */
export function misplaced(given: readonly string[]): string | undefined {
  const [mode, other] = new Set(given.filter(name => Object.hasOwn(MODES, name) || (name.endsWith('-syntax') && !given.includes('--join'))));
  if (other !== undefined) {
    return `${mode!} and ${other} exclude each other`;
  }

  const twice = ONCE.find(name => given.indexOf(name) !== given.lastIndexOf(name));
  if (twice !== undefined) {
    return `option ${twice} was given twice`;
  }

  const wrong = given.find(name => name !== mode && !VERBOSE.includes(name) && !isFor(name, mode));
  const owners = Object.keys(MODES).filter(each => MODES[each]!.takes.includes(wrong ?? ''));
  return wrong && (OF_MODES.includes(wrong) ? `option ${wrong} belongs to ${owners.join(' or ')}` : `${refusal(mode!)} ${wrong}`);
}

function refusal(mode: string): string {
  const purpose = mode === '--join' ? 'is for a session that lives' : mode.endsWith('-syntax') ? 'is for the calling shell' : 'runs no command';
  return `${mode} ${purpose}, and takes no`;
}

/** @param mode none: a run */
function isFor(name: string, mode: string | undefined): boolean {
  if (mode !== undefined && Object.hasOwn(MODES, mode)) {
    return MODES[mode]!.takes.includes(name);
  }

  return !OF_MODES.includes(name) && (mode === undefined || !OF_COMMANDS.includes(name));
}

/** A run; or a session for the calling shell. */
export function parseSession([command, ...commandArguments]: readonly string[], {syntax, killAfter, signalAll, signalMap, wait, share, ...settings}: Settings): Result<Options> {
  if (syntax !== undefined) {
    return withoutWords(`--${syntax}-syntax`, command, Object.freeze({mode: 'shell', syntax, ...settings}));
  }

  return command === undefined
    ? failed({kind: 'usage', problem: 'no command was given'})
    : success(Object.freeze({mode: 'run', command: [command, ...commandArguments] as const, killAfter, signalAll, signalMap, wait, share, ...settings}));
}

function withoutWords(mode: string, word: string | undefined, options: Options): Result<Options> {
  return word === undefined ? success(options) : failed({kind: 'usage', problem: `${refusal(mode)} command such as ${quote(word)}`});
}
