/**
 * Every failure that a user can meet, as a tagged value, worded and numbered in this one place.
 *
 * A failure says what was tried, on what, why it failed and what to do; a thrown exception is a bug.
 */

/** A value, and which option or variable has named it. */
export interface Named {
  readonly value: string;
  readonly source: string;
}

export type Failure =
  | {readonly kind: 'usage'; readonly problem: string}
  | {readonly kind: 'command-missing'; readonly command: string}
  /** The file is there; what is to run it is not: a script's interpreter, or the loader that a program names. */
  | {readonly kind: 'interpreter-missing'; readonly command: string; readonly interpreter: string | undefined}
  | {readonly kind: 'command-unusable'; readonly command: string; readonly reason: string; readonly advice?: string}
  | {readonly kind: 'no-place'; readonly asked: Named | undefined; readonly tried: ReadonlyArray<{readonly base: string; readonly reason: string}>}
  | {readonly kind: 'directory'; readonly path: string; readonly reason: string}
  | {readonly kind: 'no-daemon'; readonly asked: Named | undefined; readonly problem: string}
  | {readonly kind: 'daemon'; readonly binary: string; readonly asked: Named | undefined; readonly problem: string; readonly log: readonly string[]}
  | {readonly kind: 'helper'; readonly helper: string; readonly reason: string}
  | {readonly kind: 'no-keyring'}
  /** The file that holds the keyring's password. */
  | {readonly kind: 'password'; readonly file: string; readonly reason: string}
  | {readonly kind: 'keyring'; readonly keyring: string; readonly reason: string; readonly advice: string}
  | {readonly kind: 'lock'; readonly name: string; readonly reason: string}
  | {readonly kind: 'record'; readonly path: string; readonly reason: string}
  | {readonly kind: 'shell'; readonly problem: string}
  | {readonly kind: 'share'; readonly problem: string}
  /** With what to do. */
  | {readonly kind: 'join'; readonly session: string; readonly problem: string}
  | {readonly kind: 'interrupted'; readonly signal: number};

export type Result<Value> =
  | {readonly ok: true; readonly value: Value}
  | {readonly ok: false; readonly failure: Failure};

export function success<Value>(value: Value): Result<Value> {
  return {ok: true, value};
}

export function failed(failure: Failure): {readonly ok: false; readonly failure: Failure} {
  return {ok: false, failure};
}

/** The exit status: as of env(1) and timeout(1), so that ours can be told from the command's. */
export function exitStatus(failure: Failure): number {
  switch (failure.kind) {
    case 'command-missing':
    case 'interpreter-missing':
      return 127;
    case 'command-unusable':
      return 126;
    case 'interrupted':
      return signalStatus(failure.signal);
    default:
      return 125;
  }
}

/** 128+n, as shells report a death by signal n. */
export function signalStatus(signal: number): number {
  return 128 + signal;
}

/** One line without the leading program name; undefined where the exit status says it all. */
export function wording(failure: Failure): string | undefined {
  switch (failure.kind) {
    case 'usage':
      return `${failure.problem}; see jobbus-run --help`;
    case 'command-missing':
      return `running ${quote(failure.command)} failed: command not found; check its name and PATH`;
    case 'interpreter-missing':
      return `running ${quote(failure.command)} failed: ${interpreterProblem(failure.interpreter)}`;
    case 'command-unusable':
      return `running ${quote(failure.command)} failed: ${failure.reason}; ${failure.advice ?? 'name an executable file'}`;
    case 'no-place':
      return `making a session directory failed: ${failure.tried.map(({base, reason}) => `${base}: ${reason}`).join('; ')}; ${advice(failure.asked, 'a usable directory', '--runtime-base')}`;
    case 'directory':
      return `making the session directory ${failure.path} failed: ${failure.reason}; name another place with --runtime-base`;
    case 'no-daemon':
      return failure.asked === undefined
        ? 'looking for dbus-daemon in /usr/bin and on PATH failed: there is none; install it (apt install dbus-daemon, dnf install dbus-daemon, zypper install dbus-1-daemon, pacman -S dbus, conda install dbus, or a module named DBus) or name one with --dbus-daemon'
        : `using ${quote(failure.asked.value)} as the dbus-daemon failed: ${failure.problem}; ${advice(failure.asked, 'another', '--dbus-daemon')}`;
    case 'daemon':
      return `starting ${failure.binary} failed: ${failure.problem}${lastWords(failure.log)}${isByVariable(failure.asked) ? `; ${advice(failure.asked, 'another', '--dbus-daemon')}` : ''}`;
    case 'helper':
      return `starting ${failure.helper} failed: ${failure.reason}; see what this user may start and open (ulimit -u, ulimit -n)`;
    case 'no-keyring':
      return 'looking for gnome-keyring-daemon on PATH failed: there is none; install it (apt install gnome-keyring, dnf install gnome-keyring), or leave out --keyring';
    case 'password':
      return `reading the password in ${quote(failure.file)} failed: ${failure.reason}; --keyring takes a file of yours with one line, which nobody else may read (chmod 600)`;
    case 'keyring':
      return `unlocking the ${failure.keyring} keyring failed: ${failure.reason}; ${failure.advice}`;
    case 'lock':
      return `locking the session ${failure.name} failed: ${failure.reason}; try again`;
    case 'record':
      return `writing into the session directory ${failure.path} failed: ${failure.reason}; name another place with --runtime-base`;
    case 'shell':
      return failure.problem;
    case 'share':
      return `sharing a session failed: ${failure.problem}`;
    case 'join':
      return `joining ${quote(failure.session)} failed: ${failure.problem}`;
    case 'interrupted':
      return undefined;
  }
}

/** What to do about a value that does not serve. A variable may have been set long ago, and elsewhere. */
export function advice(asked: Named | undefined, what: string, option: string): string {
  return isByVariable(asked) ? `the variable ${asked!.source} names it: change or unset that` : `name ${what} with ${option}`;
}

function isByVariable(asked: Named | undefined): boolean {
  return asked?.source.startsWith('-') === false;
}

function interpreterProblem(interpreter: string | undefined): string {
  if (interpreter === undefined) {
    return 'the loader that it names does not exist: it is made for another system; use one that is made for this one';
  }

  return interpreter.endsWith('\r')
    ? `its interpreter ${quote(interpreter)} does not exist: the file has Windows line ends; remove them, with dos2unix or sed -i 's/\\r$//'`
    : `its interpreter ${quote(interpreter)} does not exist; name in its first line one that does`;
}

function lastWords(log: readonly string[]): string {
  return log.length === 0 ? '; its log is empty' : `; its log ends: ${log.join(' | ')}`;
}

/** Control characters would break the one line, and a hostile name could forge another. */
export function quote(word: string): string {
  return JSON.stringify(word);
}

/** Why a call to the system failed, in the words of errno(3). */
export function systemReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return (code !== undefined && ERRNO_WORDS[code]) || code || String(error);
}

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  E2BIG: 'arguments and environment are too long',
  EACCES: 'permission denied',
  EAGAIN: 'no more processes or memory to be had',
  EBUSY: 'something is mounted on it',
  EDQUOT: 'disk quota exceeded',
  EEXIST: 'it exists already',
  EFBIG: 'no file may be so large (ulimit -f)',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file or directory',
  ENOMEM: 'out of memory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ETIMEDOUT: 'it takes too long',
};
