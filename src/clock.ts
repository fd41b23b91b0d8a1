/** Time that only goes forward. */

/** Milliseconds since this process has started; `performance` would load a part of Node that a launch can do without. */
export function now(): number {
  return process.uptime() * 1000;
}
