/** What looks at other sessions than its own: a bundle of its own. Most runs have no neighbours and never load it. */

import {explain, log} from './log.js';
import {outcome, sweep} from './sweep.js';

export {listSessions} from './list.js';
export {sweepAsAsked} from './sweep.js';
export {sweepAsUser} from './sweep-user.js';

/**
 * The sweep beside a run.
 *
 * @param runsLog this bundle has a log of its own
 * @param mayGoOn asked behind each session
 */
export async function sweepBeside(bases: readonly string[], runsLog: typeof log, mayGoOn: () => boolean): Promise<void> {
  Object.assign(log, runsLog);
  await sweep(bases, swept => explain(outcome(swept)), mayGoOn);
}
