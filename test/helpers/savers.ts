/** Processes of a command's tree that say which signals they get, and save before they end. */

import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fixture, type Bench, type Run} from './jobbus.js';
import {eventually} from './processes.js';

export interface Saver {
  readonly pid: number;
  /** Those that it has got, but for the fence. */
  readonly signals: () => readonly string[];
}

export interface Savers {
  /** A shell's words that start one. */
  readonly words: (name: string) => string;
  readonly ready: (run: Run, name: string) => Promise<Saver>;
  /** Lets them end. */
  readonly go: () => void;
}

export function saversOf({base}: Bench): Savers {
  const go = join(base, 'go');
  rmSync(go, {force: true});
  return {
    words: name => `${fixture('saves-at-signals')} ${name} ${go}`,
    async ready(run, name) {
      const notes = (): string[] => run.output().split('\n').flatMap(line => (line.startsWith(`${name} `) ? [line.split(' ')[1]!] : []));
      const line = await run.line(new RegExp(`^${name} ready `));
      return {pid: Number(line.split(' ')[2]), signals: () => notes().filter(note => note !== 'ready' && note !== FENCE)};
    },
    go: () => writeFileSync(go, ''),
  };
}

/** What the kernel hands out last, SIGRTMAX. */
const FENCE = 'SIGRTMAX';
const FENCE_NUMBER = 64;

/** Waits until each has said all that was sent to it before. */
export async function fence(run: Run, savers: Readonly<Record<string, Saver>>): Promise<void> {
  for (const [name, {pid}] of Object.entries(savers)) {
    const fences = (): number => run.output().split('\n').filter(line => line.startsWith(`${name} ${FENCE}`)).length;
    const before = fences();
    process.kill(pid, FENCE_NUMBER);
    await eventually('the fence', () => fences() > before);
  }
}
