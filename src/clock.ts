/** Time that only goes forward, and waiting for it where nothing else may happen meanwhile. */

/** Milliseconds since this process has started; `performance` would load a part of Node that a launch can do without. */
export function now(): number {
  return process.uptime() * 1000;
}

/** Blocks for a millisecond. */
export function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}
