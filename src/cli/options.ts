/** What command line and environment ask for: one frozen value, which parse.ts makes. */

import type {Named} from './failure.js';

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
  /** A secret service that is unlocked: by the password in the user's file, or with keyrings of the session's own. */
  readonly keyring: {readonly file: string | undefined} | undefined;
  /** Milliseconds from the first TERM, INT or HUP to a KILL; undefined: never. */
  readonly killAfter: number | undefined;
  /** Signals go to all of the command's tree. */
  readonly signalAll: boolean;
  /** What comes with a number that is a key counts as the other; as nothing, if that is 0. */
  readonly signalMap: ReadonlyMap<number, number>;
  /** The session ends with the last process of the command's tree. */
  readonly wait: boolean;
  /** Milliseconds between TERM and KILL for what is left at the end. */
  readonly stopTimeout: number;
  readonly keep: boolean;
  /** One session for all that say the same name, or, where it is empty, for a step of a job. */
  readonly share: string | undefined;
  readonly verbose: boolean;
  readonly sources: Sources;
}

/** What has named a value, the option or the variable: where it is wrong, that is what is to be changed. */
export interface Sources {
  readonly runtimeBase: string;
  readonly dbusDaemon: string;
}

/** @returns the value that was asked for, if any, and by what */
export function askedFor(name: keyof Sources, options: Pick<RunOptions, keyof Sources | 'sources'>): Named | undefined {
  const value = options[name];
  return value === undefined ? undefined : {value, source: options.sources[name]};
}

/** The other modes look at what runs have made. */
export type ListOptions = Pick<RunOptions, 'runtimeBase'> & {readonly mode: 'list'; readonly json: boolean};

export type SweepOptions = Pick<RunOptions, 'runtimeBase'> & {
  readonly mode: 'sweep';
  /** Sweep this session alone. */
  readonly directory: string | undefined;
  /** Sweep as this user, by number or name; for root. */
  readonly user: string | undefined;
  /** We are the child that root has made to become that user. */
  readonly becomes: boolean;
};

export type DoctorOptions = Pick<RunOptions, 'runtimeBase' | 'dbusDaemon' | 'sources' | 'verbose'> & {readonly mode: 'doctor'; readonly json: boolean};

/** What a run and a shell's session have in common. */
export type SessionOptions = Omit<RunOptions, 'mode' | 'command' | 'killAfter' | 'signalAll' | 'signalMap' | 'wait' | 'share'>;

/** In which the calling shell is told its variables. */
export type Syntax = 'sh' | 'csh' | 'fish';

export type ShellOptions = SessionOptions & {readonly mode: 'shell'; readonly syntax: Syntax};

export type StopOptions = Pick<RunOptions, 'runtimeBase' | 'verbose'> & {readonly mode: 'stop'};

export type JoinOptions = Pick<RunOptions, 'runtimeBase' | 'busOnly' | 'verbose'> & {
  readonly mode: 'join';
  /** As --list shows it: its directory, its job's id or a pid. */
  readonly session: string;
  /** None: its variables are told. */
  readonly command: readonly string[];
  readonly syntax: Syntax;
};

export type Options = RunOptions | JoinOptions | ShellOptions | StopOptions | DoctorOptions | ListOptions | SweepOptions | {readonly mode: 'help' | 'version'};

export type Environment = Readonly<Record<string, string | undefined>>;

export const VERSION_LINE = `jobbus-run ${VERSION}\n`;

/** Said by root's sweep to its child, and by nobody else. */
export const BECOME = '--become';
