/** Reads command line and environment, once. Pure: what follows never looks at either again. Two tables of options; modes.ts has the third. */

import {failed, quote, success, type Result} from './failure.js';
import {misplaced, MODES, parseSession, type Asked, type Settings} from './modes.js';
import {nearest} from './nearest.js';
import {BECOME, type Environment, type Options, type Sources} from './options.js';
import {absolutePath, isYes, seconds, signalPair, user, word} from './values.js';

type Setter = (settings: Settings, value: string, asked: Asked) => string | undefined;

const FLAGS: Readonly<Record<string, (settings: Settings, asked: Asked) => void>> = {
  '--json': (_, asked) => (asked.json = true),
  [BECOME]: (_, asked) => (asked.becomes = true),
  '--bus-only': settings => (settings.busOnly = true),
  '--no-services': settings => (settings.services = false),
  '--signal-all': settings => (settings.signalAll = true),
  '--wait': settings => (settings.wait = true),
  '--keyring': settings => (settings.keyring = {file: undefined}),
  '--keep': settings => (settings.keep = true),
  '--share': settings => (settings.share = ''),
  '--verbose': settings => (settings.verbose = true),
  '-v': settings => (settings.verbose = true),
  '--sh-syntax': settings => (settings.syntax = 'sh'),
  '--csh-syntax': settings => (settings.syntax = 'csh'),
  '--fish-syntax': settings => (settings.syntax = 'fish'),
};

/** Each returns what is wrong with the value, if anything. */
const VALUES: Readonly<Record<string, Setter>> = {
  '--join': (_, value, asked) => word(value, () => (asked.session = value)),
  '--uid': (_, value, asked) => user(value, () => (asked.user = value)),
  '--runtime-base': (settings, value) => absolutePath(value, () => (settings.runtimeBase = value)),
  '--dbus-daemon': (settings, value) => word(value, () => (settings.dbusDaemon = value)),
  '--config-file': (settings, value) => word(value, () => (settings.configFile = value)),
  '--kill-after': (settings, value) => seconds(value, time => (settings.killAfter = time)),
  '--stop-timeout': (settings, value) => seconds(value, time => (settings.stopTimeout = time)),
  '--map-signal': (settings, value) => signalPair(value, settings.signalMap, map => (settings.signalMap = map)),
};

/** Flags that may have a value, which is attached then. */
const ATTACHED: Readonly<Record<string, Setter>> = {
  '--share': (settings, value) => word(value, () => (settings.share = value)),
  '--keyring': (settings, value) => word(value, () => (settings.keyring = {file: value})),
};

/** They tell of the program, whatever else is said. */
const TELLING: Readonly<Record<string, 'help' | 'version'>> = {'--help': 'help', '--version': 'version'};

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
    keyring: undefined,
    killAfter: undefined,
    signalAll: false,
    signalMap: new Map(),
    wait: false,
    stopTimeout: 1000,
    keep: false,
    share: undefined,
    verbose: isYes(environment.JOBBUS_VERBOSE) ?? false,
    syntax: undefined,
    sources: sourcesOf([]),
  };

  const asked: Asked = {json: false, user: undefined, becomes: false, session: ''};
  const given: string[] = [];
  const rest = [...words];
  while (rest[0]?.startsWith('-') && rest[0] !== '-') {
    const option = rest.shift()!;
    if (option === '--') {
      break;
    }

    if (Object.hasOwn(TELLING, option)) {
      return success({mode: TELLING[option]!});
    }

    const problem = applyOption(settings, asked, option, rest);
    if (problem !== undefined) {
      return failed({kind: 'usage', problem});
    }

    given.push(nameOf(option));
  }

  const problem = variableProblem(environment) ?? misplaced(given);
  if (problem !== undefined) {
    return failed({kind: 'usage', problem});
  }

  settings.sources = sourcesOf(given);
  const mode = given.find(name => Object.hasOwn(MODES, name));
  return mode === undefined ? parseSession(rest, settings) : MODES[mode]!.parse(rest, settings, asked);
}

function sourcesOf(given: readonly string[]): Sources {
  const source = (option: string, variable: string): string => (given.includes(option) ? option : variable);
  return {runtimeBase: source('--runtime-base', 'JOBBUS_RUNTIME_BASE'), dbusDaemon: source('--dbus-daemon', 'JOBBUS_DBUS_DAEMON')};
}

/** @param rest behind the option: its value is taken from there, unless it is attached. @returns what is wrong with it, if anything */
function applyOption(settings: Settings, asked: Asked, option: string, rest: string[]): string | undefined {
  const name = nameOf(option);
  const attached = name === option ? undefined : option.slice(name.length + 1);
  const set = VALUES[name] ?? (attached === undefined ? undefined : ATTACHED[name]);
  if (set !== undefined) {
    const value = attached ?? rest.shift();
    const problem = value === undefined ? 'needs a value' : set(settings, value, asked);
    return problem && `option ${name} ${problem}`;
  }

  if (!Object.hasOwn(FLAGS, name) && !Object.hasOwn(MODES, name)) {
    return unknown(option);
  }

  FLAGS[name]?.(settings, asked);
  return attached === undefined ? undefined : `option ${name} takes no value`;
}

function nameOf(option: string): string {
  return option.split('=', 1)[0]!;
}

function unknown(option: string): string {
  const meant = nearest(nameOf(option), [FLAGS, VALUES, MODES, TELLING].flatMap(Object.keys).filter(name => name !== BECOME));
  return `unknown option ${quote(option)}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function variableProblem({JOBBUS_VERBOSE}: Environment): string | undefined {
  return isYes(JOBBUS_VERBOSE) === undefined ? `the variable JOBBUS_VERBOSE is to be 1 or 0, yes or no, and not ${quote(JOBBUS_VERBOSE!)}` : undefined;
}

/**
 * Whether a shell evaluates what is printed: then a failure is to be one there, too. As the launcher judges: a word that is no option
 * ends them, unless it may be the value of the one before it.
 */
export function isEvaluated(words: readonly string[]): boolean {
  const end = words.findIndex((word, index) => word === '--' || (!word.startsWith('-') && words[index - 1]?.startsWith('-') !== true));
  const options = words.slice(0, end === -1 ? undefined : end);
  return options.some(word => /^--(stop|(sh|csh|fish)-syntax)$/.test(word)) || (end === -1 && words.slice(-2).includes('--join'));
}
