/** The shells that can have a session, each in its own language. */

import {dirname} from 'node:path';
import {binary, type Bench, type Run, type StartOptions} from './jobbus.js';

export interface Shell {
  readonly name: string;
  readonly words: readonly string[];
  /** How people write it, with the options behind it. */
  readonly open: (options?: string) => string;
  readonly stop: string;
  readonly status: string;
  /** Whether its own exit ends the session, and waits for that. */
  readonly hasHook: boolean;
  /** Whether it can be told of a value with a line break. */
  readonly takesLineBreaks: boolean;
}

function posix(name: string, words: readonly string[] = [name]): Shell {
  return {
    name, words, open: (options = '') => `eval "$(jobbus-run --sh-syntax ${options})"`, stop: 'eval "$(jobbus-run --stop)"', status: '$?', hasHook: true, takesLineBreaks: true,
  };
}

/**
 * As `sh`, bash is another: it ends where a special command fails, and lists traps that are not set.
 *
 * bash takes a socket for its stdin, which Node's pipes are, for a remote login, and reads its start files even with -c.
 */
export const POSIX_SHELLS: readonly Shell[] = [posix('dash'), posix('bash', ['bash', '--norc']), posix('busybox', ['busybox', 'sh']), posix('bash as sh', ['bash', '--norc', '--posix'])];

export const ZSH = posix('zsh', ['zsh', '-f']);

export const SHELLS: readonly Shell[] = [
  ...POSIX_SHELLS,
  ZSH,
  {
    name: 'tcsh', words: ['tcsh', '-f'], open: (options = '') => `eval \`jobbus-run --csh-syntax ${options}\``, stop: 'eval `jobbus-run --stop`', status: '$status', hasHook: false, takesLineBreaks: false,
  },
  {
    name: 'fish', words: ['fish', '--no-config'], open: (options = '') => `jobbus-run --fish-syntax ${options} | source`, stop: 'jobbus-run --stop | source', status: '$status', hasHook: true, takesLineBreaks: true,
  },
];

export const BASH = POSIX_SHELLS[1]!;

/** Starts a shell with jobbus-run on its PATH. */
export function startShell(bench: Bench, {words: [program = '', ...options]}: Shell, script: string, {environment = {}, ...more}: StartOptions = {}): Run {
  const PATH = `${dirname(binary)}:${bench.environment.PATH}`;
  return bench.start([...options, '-c', script], {...more, program, environment: {PATH, ...environment}});
}
