/** Milliseconds; what is asked starts a process each time. */
const INTERVAL = 150;

/** Asks until the answer is true; fails with what was waited for. */
export async function until(what: string, ask: () => Promise<boolean>, time: number): Promise<void> {
  const deadline = Date.now() + time;
  while (!(await ask())) {
    if (Date.now() > deadline) {
      throw new Error(`Waited ${time} ms in vain for ${what}`);
    }

    await new Promise(resolve => setTimeout(resolve, INTERVAL));
  }
}
