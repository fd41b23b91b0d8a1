/** Time that only goes forward, and waiting for it where nothing else may happen meanwhile. */

/** Milliseconds, since some moment. */
export function now(): number {
  return performance.now();
}

/** Blocks for a millisecond. */
export function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}
