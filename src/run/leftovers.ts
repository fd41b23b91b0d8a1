/** What a command leaves running that has ended well: it is ended now, and who does not expect that is to be told. */

import {quote} from '../cli/failure.js';
import {warn} from '../cli/log.js';
import {waitUntil, type Member} from '../session/members/members.js';
import type {Request} from './request.js';
import type {Tree} from './tree.js';

/** Milliseconds: who ends by itself in this time, as a tee at the end of its input, is no surprise, and may do so in peace. */
const MOMENT = 100;

/** However long they take: where all wait for a processor, so does who is about to end. */
const LOOKS = 12;

const MOST_NAMES = 5;

/** @param services pids of the bus's own, whoever has started them */
export async function tellOfLeftovers(command: string, tree: Tree, request: Request, services: () => Promise<ReadonlySet<number>>): Promise<void> {
  // An inner session ends by itself, and takes its time.
  const look = (): Member[] => tree.members().filter(({isWrapper}) => !isWrapper);
  if (await waitUntil(() => request.isMade() || look().length === 0, MOMENT, LOOKS)) {
    return;
  }

  const left = look();
  const own = new Set(await services());
  left.forEach(({pid, parent}) => own.has(parent) && own.add(pid));
  const surprises = left.filter(({pid}) => !own.has(pid));
  if (surprises.length > 0) {
    const names = surprises.slice(0, MOST_NAMES).map(({pid, name}) => name || `process ${pid}`);
    const more = surprises.length > MOST_NAMES ? ', …' : '';
    warn(`${quote(command)} has ended and left ${surprises.length} process${surprises.length === 1 ? '' : 'es'} running (${names.join(', ')}${more}), which the end of the session ends; to go on until they have ended, use --wait`);
  }
}
