/** Waiting for the end of processes that are not our children. */

import {close} from './descriptors.js';
import {call} from './libc.js';
import {onReadable, sleep} from './loop.js';
import {isAlive, type Process} from './processes.js';

/** Of both architectures. */
const SYS_PIDFD_OPEN = 434;

/** Milliseconds between two looks before Linux 5.3, which has no such descriptors. */
const LOOK = 1000;

/** Costs no time on a processor until then. */
export async function endOf(awaited: Process): Promise<void> {
  const descriptor = call('syscall', SYS_PIDFD_OPEN, awaited.pid, null, 0, 0, 0, 0);
  if (descriptor >= 0) {
    // Looked at behind the opening: the pid cannot come to another unseen.
    if (isAlive(awaited)) {
      await new Promise<void>(resolve => {
        const stop = onReadable(descriptor, () => {
          stop();
          resolve();
        });
      });
    }

    close(descriptor);
  }

  while (isAlive(awaited)) {
    await sleep(LOOK); // A thread of it is left, which ends in a moment; or the kernel is an old one.
  }
}
