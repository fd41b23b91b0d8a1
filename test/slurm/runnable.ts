import test from 'ava';
import type {Plugin} from './configuration.js';
import {obstacle} from './obstacle.js';

/** Registers tests where they can run. Elsewhere, one that is skipped and says why; where nothing may be missing, it fails. */
export function whereRunnable(plugin: Plugin, what: string, register: () => void): void {
  const problem = obstacle(plugin);
  if (problem === undefined) {
    register();
    return;
  }

  const title = `${what}: not run, ${problem}`;
  if (process.env.CI) {
    test(title, t => t.fail(problem));
  } else {
    test.skip(title, t => t.fail(problem));
  }
}
