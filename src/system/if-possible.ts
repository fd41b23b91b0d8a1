/** @returns undefined where the system refuses it, for whatever reason: it may be gone by now, or not be ours */
export function ifPossible<Value>(action: () => Value): Value | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
