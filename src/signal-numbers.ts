/** Signals by number. Most launches never ask, and then node:os is not loaded. */

/** As signal(7) has it for this architecture. */
export function signalNumber(signal: NodeJS.Signals): number {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- at the moment of need
  return (require('node:os') as typeof import('node:os')).constants.signals[signal];
}
