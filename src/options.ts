/**
 * Command line and environment, read once, into one frozen value. Pure: what follows never looks at either again.
 */

import {failed, quote, success, type Result} from './failure.js';

declare const VERSION: string;

export interface RunOptions {
  readonly mode: 'run';
  readonly command: readonly [string, ...string[]];
  /** Make the session directory under this one, and nowhere else. */
  readonly runtimeBase: string | undefined;
  /** Leave XDG_RUNTIME_DIR as it is. */
  readonly busOnly: boolean;
  readonly dbusDaemon: string | undefined;
  readonly configFile: string | undefined;
  readonly services: boolean;
  /** Milliseconds from the first TERM, INT or HUP to a KILL; undefined: never. */
  readonly killAfter: number | undefined;
  /** Milliseconds between TERM and KILL for what is left at the end. */
  readonly stopTimeout: number;
  readonly keep: boolean;
  readonly verbose: boolean;
}

/** The other modes look at what runs have made. */
export interface ListOptions {
  readonly mode: 'list';
  readonly runtimeBase: string | undefined;
  readonly json: boolean;
}

export interface SweepOptions {
  readonly mode: 'sweep';
  readonly runtimeBase: string | undefined;
  /** Sweep this session alone. */
  readonly directory: string | undefined;
  /** Sweep as this user; for root. */
  readonly user: number | undefined;
  /** We are the child that root has made to become that user. */
  readonly becomes: boolean;
}

export type DoctorOptions = Pick<RunOptions, 'runtimeBase' | 'dbusDaemon'> & {readonly mode: 'doctor'};

/** What a run and a shell's session have in common. */
export type SessionOptions = Omit<RunOptions, 'mode' | 'command' | 'killAfter'>;

/** In which the calling shell is told its variables. */
export type Syntax = 'sh' | 'csh' | 'fish';

export type ShellOptions = SessionOptions & {readonly mode: 'shell'; readonly syntax: Syntax};

export type StopOptions = Pick<RunOptions, 'runtimeBase' | 'verbose'> & {readonly mode: 'stop'};

export type Options = RunOptions | ShellOptions | StopOptions | DoctorOptions | ListOptions | SweepOptions | {readonly mode: 'help' | 'version'};

export type Environment = Readonly<Record<string, string | undefined>>;

export const VERSION_LINE = `jobbus-run ${VERSION}\n`;

/** Each takes the words behind it. */
const MODES: Readonly<Record<string, (rest: readonly string[], settings: Settings) => Result<Options>>> = {
  '--help': () => success({mode: 'help'}),
  '--version': () => success({mode: 'version'}),
  '--doctor': parseDoctor,
  '--stop': parseStop,
  '--list': parseList,
  '--sweep': parseSweep,
};

function parseDoctor([word]: readonly string[], {runtimeBase, dbusDaemon}: Settings): Result<Options> {
  return word === undefined
    ? success({mode: 'doctor', runtimeBase, dbusDaemon})
    : failed({kind: 'usage', problem: `--doctor comes last, and not before ${quote(word)}`});
}

function parseStop([word]: readonly string[], {runtimeBase, verbose}: Settings): Result<Options> {
  return word === undefined
    ? success({mode: 'stop', runtimeBase, verbose})
    : failed({kind: 'usage', problem: `--stop comes last, and not before ${quote(word)}`});
}

function parseList([word, ...rest]: readonly string[], {runtimeBase}: Settings): Result<Options> {
  return word === undefined || (word === '--json' && rest.length === 0)
    ? success({mode: 'list', runtimeBase, json: word === '--json'})
    : failed({kind: 'usage', problem: `--list takes --json and nothing else, not ${quote(word)}`});
}

/** Said by root's sweep to its child, and by nobody else. */
export const BECOME = '--become';

function parseSweep([word, value, ...rest]: readonly string[], {runtimeBase}: Settings): Result<Options> {
  const user = word === '--uid' && /^\d{1,10}$/.test(value ?? '') ? Number(value) : undefined;
  const directory = value === undefined && word?.startsWith('/') ? word : undefined;
  const becomes = user !== undefined && rest.length === 1 && rest[0] === BECOME;
  return (rest.length === 0 || becomes) && (word === undefined || user !== undefined || directory !== undefined)
    ? success({mode: 'sweep', runtimeBase, user, directory, becomes})
    : failed({kind: 'usage', problem: '--sweep takes --uid with a number, or the absolute path of one session directory, and nothing else'});
}

type Settings = {-readonly [Key in keyof Omit<RunOptions, 'mode' | 'command'>]: RunOptions[Key]} & {syntax: Syntax | undefined};

type Setter = (settings: Settings, value: string) => string | undefined;

const FLAGS: Readonly<Record<string, (settings: Settings) => void>> = {
  '--bus-only': settings => (settings.busOnly = true),
  '--no-services': settings => (settings.services = false),
  '--keep': settings => (settings.keep = true),
  '--verbose': settings => (settings.verbose = true),
  '-v': settings => (settings.verbose = true),
  '--sh-syntax': settings => (settings.syntax = 'sh'),
  '--csh-syntax': settings => (settings.syntax = 'csh'),
  '--fish-syntax': settings => (settings.syntax = 'fish'),
};

/** Each returns what is wrong with the value, if anything. */
const VALUES: Readonly<Record<string, Setter>> = {
  '--runtime-base': (settings, value) => word(value, () => (settings.runtimeBase = value)),
  '--dbus-daemon': (settings, value) => word(value, () => (settings.dbusDaemon = value)),
  '--config-file': (settings, value) => word(value, () => (settings.configFile = value)),
  '--kill-after': (settings, value) => seconds(value, time => (settings.killAfter = time)),
  '--stop-timeout': (settings, value) => seconds(value, time => (settings.stopTimeout = time)),
};

/**
 * @param words the words after the program's name
 * @returns the options, or a failure of kind `usage`
 */
export function parseOptions(words: readonly string[], environment: Environment): Result<Options> {
  const settings: Settings = {
    runtimeBase: environment.JOBBUS_RUNTIME_BASE || undefined,
    busOnly: false,
    dbusDaemon: environment.JOBBUS_DBUS_DAEMON || undefined,
    configFile: undefined,
    services: true,
    killAfter: undefined,
    stopTimeout: 1000,
    keep: false,
    verbose: environment.JOBBUS_VERBOSE === '1',
    syntax: undefined,
  };

  let position = 0;
  for (; position < words.length; position++) {
    const option = words[position]!;
    if (option === '--') {
      position++;
      break;
    }

    if (!option.startsWith('-') || option === '-') {
      break;
    }

    if (Object.hasOwn(MODES, option)) {
      return MODES[option]!(words.slice(position + 1), settings);
    }

    const problem = applyOption(settings, option, words[position + 1]);
    if (problem !== undefined) {
      return failed({kind: 'usage', problem});
    }

    if (Object.hasOwn(VALUES, option)) {
      position++;
    }
  }

  return finish(settings, words.slice(position));
}

function finish({syntax, killAfter, ...settings}: Settings, [command, ...commandArguments]: readonly string[]): Result<Options> {
  if (syntax !== undefined) {
    return command === undefined && killAfter === undefined
      ? success(Object.freeze({mode: 'shell', syntax, ...settings}))
      : failed({kind: 'usage', problem: `--${syntax}-syntax is for the calling shell, and takes ${command === undefined ? 'no --kill-after' : `no command such as ${quote(command)}`}`});
  }

  return command === undefined
    ? failed({kind: 'usage', problem: 'no command was given'})
    : success(Object.freeze({mode: 'run', command: [command, ...commandArguments] as const, killAfter, ...settings}));
}

/**
 * Whether a shell evaluates what is printed: then a failure is to be one there, too. As the launcher judges: a word that is no option
 * ends them, unless it may be the value of the one before it.
 */
export function isEvaluated(words: readonly string[]): boolean {
  const end = words.findIndex((word, index) => word === '--' || (!word.startsWith('-') && words[index - 1]?.startsWith('-') !== true));
  return words.slice(0, end === -1 ? undefined : end).some(word => /^--(stop|(sh|csh|fish)-syntax)$/.test(word));
}

function applyOption(settings: Settings, option: string, next: string | undefined): string | undefined {
  if (Object.hasOwn(FLAGS, option)) {
    FLAGS[option]!(settings);
    return undefined;
  }

  const [name, ...rest] = option.split('=');
  const attached = rest.length > 0;
  if (!Object.hasOwn(VALUES, name!)) {
    return `unknown option ${quote(option)}`;
  }

  const value = attached ? rest.join('=') : next;
  const problem = value === undefined ? 'needs a value' : VALUES[name!]!(settings, value);
  return problem === undefined ? undefined : `option ${name!} ${problem}`;
}

function word(value: string, set: () => void): string | undefined {
  if (value === '') {
    return 'needs a value that is not empty';
  }

  set();
  return undefined;
}

function seconds(value: string, set: (milliseconds: number) => void): string | undefined {
  const milliseconds = /^\d{1,6}(\.\d+)?$/.test(value) ? Math.round(Number(value) * 1000) : Number.NaN;
  if (Number.isNaN(milliseconds)) {
    return `needs a number of seconds, and ${quote(value)} is not one`;
  }

  set(milliseconds);
  return undefined;
}
