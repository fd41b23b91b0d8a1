/**
 * What the calling shell evaluates: its variables, and the hook that ends the session when the shell exits.
 *
 * People write `eval $(…)` without quotes, csh knows nothing else, and fish joins lines: so every statement ends with a
 * semicolon, and no blank or line break of the code's own means anything.
 */

import {encode} from '../system/bytes.js';
import type {Change} from '../session/environment.js';
import type {Syntax} from '../cli/options.js';

interface Dialect {
  assign(name: string, value: string): string;
  remove(name: string): string;
  /** Makes the changes, up to the first that fails, and fails with that. */
  chain(changes: readonly string[]): string;
  /** Makes the changes, and has the session ended as the shell exits, where the shell can be told to. */
  open(changes: readonly string[], program: string, directory: string): string;
}

const dialects: Readonly<Record<Syntax, Dialect>> = {
  sh: {
    assign: (name, value) => `export ${name}=${quoteForSh(value)}`,
    remove: name => `unset ${name}`,
    chain: changes => `${chainForSh(changes)};\n`,
    open: openForSh,
  },
  csh: {
    assign: (name, value) => `setenv ${name} ${quoteForCsh(value)}`,
    remove: name => `unsetenv ${name}`,
    chain: inTurn,
    open: inTurn, // It has no way to be told: the keeper sees its end.
  },
  fish: {
    assign: (name, value) => `set -gx ${name} ${quoteForFish(value)}`,
    remove: name => `set -q ${name}; and set -e ${name}`,
    chain: inTurn,
    open: (changes, program, directory) => inTurn(changes) + hookForFish(program, directory),
  },
};

/** @returns code that makes the changes, as far as it goes */
export function changingCode(syntax: Syntax, changes: readonly Change[]): Buffer {
  return encode(inTurn(statements(syntax, changes)));
}

/** @returns code that makes the changes, or fails */
export function joiningCode(syntax: Syntax, changes: readonly Change[]): Buffer {
  return encode(dialects[syntax].chain(statements(syntax, changes)));
}

/**
 * @param program jobbus-run's; it may be gone by then, and the keeper ends the session
 * @returns code that gives the shell its session, and has it ended as the shell exits; its status is 0 where the variables are set
 */
export function openingCode(syntax: Syntax, changes: readonly Change[], program: string, directory: string): Buffer {
  return encode(dialects[syntax].open(statements(syntax, changes), program, directory));
}

function statements(syntax: Syntax, changes: readonly Change[]): readonly string[] {
  const {assign, remove} = dialects[syntax];
  return changes.map(({name, to}) => (to === null ? remove(name) : assign(name, to)));
}

function inTurn(changes: readonly string[]): string {
  return changes.map(change => `${change};\n`).join('');
}

/** Whether the shell can be told the value. */
export function isSayable(syntax: Syntax, value: string | null): boolean {
  return syntax !== 'csh' || value?.includes('\n') !== true;
}

function quoteForSh(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

function quoteForFish(value: string): string {
  return `'${value.replace(/['\\]/g, '\\$&').replaceAll('\n', "'\\n'")}'`;
}

/** What it substitutes for eval it splits at blanks and expands once too often: printf makes what it would spoil. */
function quoteForCsh(value: string): string {
  if (/^[\w/.,:=@+-]+$/.test(value)) {
    return value;
  }

  const bytes = Array.from(encode(value), byte => (/\w/.test(String.fromCharCode(byte)) && byte < 0x80 ? String.fromCharCode(byte) : `\\\\${byte.toString(8).padStart(3, '0')}`));
  return value === '' ? "''" : `"\`printf ${bytes.join('')}\`"`;
}

/** bash goes on behind a variable that is readonly, and the last statement's status would be the line's. */
function chainForSh(changes: readonly string[]): string {
  return changes.join(' &&\n');
}

function openForSh(changes: readonly string[], program: string, directory: string): string {
  return `${chainForSh(changes)} && {
${hookForSh(program, directory)}} || { eval "$(${quoteForSh(program)} --stop)"; false; };
`;
}

/**
 * An EXIT trap that keeps the status, and behind it what the trap did before. Only bash can name the trap of one signal; in
 * the list that others give, EXIT comes first, and to set the others again changes nothing. Its way leads through a file:
 * in a substitution some shells show none. Where the list has another order, the trap of before stays, and the keeper watches.
 * Of a trap that is not set, bash as sh shows `-`.
 */
function hookForSh(program: string, directory: string): string {
  const list = quoteForSh(`${directory}/exit-trap`);
  return `jobbus_run_exit() { set -- "$?"; [ ! -d ${quoteForSh(directory)} ] || [ ! -x ${quoteForSh(program)} ] || eval "$(${quoteForSh(program)} --stop)" || :; return "$1"; };
if [ -n "\${ZSH_VERSION-}" ]; then eval 'zshexit_functions+=(jobbus_run_exit)';
else jobbus_run_trap() { { [ "\${4-}" = EXIT ] && [ "$3" != - ]; } || set -- '' '' ''; trap -- "jobbus_run_exit && :; $3" EXIT; };
{ printf 'jobbus_run_trap '; if [ -n "\${BASH_VERSION-}" ]; then trap -p EXIT; else trap; fi; } > ${list} && . ${list}; unset -f jobbus_run_trap; fi;
`;
}

function hookForFish(program: string, directory: string): string {
  return `function jobbus_run_exit --on-event fish_exit;
if test -d ${quoteForFish(directory)} -a -x ${quoteForFish(program)}; ${quoteForFish(program)} --stop | source; end; end;
`;
}
