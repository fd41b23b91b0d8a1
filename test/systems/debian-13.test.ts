/** The release's archive on Debian 13, which is newer than the system that has built it. */

import {ARCHIVE_TIME, releasedArchive} from '../helpers/archive.js';
import {needsRoot, test} from '../helpers/jobbus.js';
import {PLAIN, scriptOf} from './cases.js';
import {inSystem} from './enter.js';
import {canMakeTrees, DEBIAN_13, TREE_TIME, treeOf} from './trees.js';

const needsTree = canMakeTrees ? needsRoot : test.skip;

let places: readonly [tree: string, program: string] | undefined;

test.before(async t => {
  if (process.getuid!() === 0 && canMakeTrees) {
    t.timeout(TREE_TIME + ARCHIVE_TIME);
    const [tree, archive] = await Promise.all([treeOf(DEBIAN_13), releasedArchive()]);
    places = [tree, archive.tree];
  }
});

for (const {name, lines, prints} of PLAIN.cases) {
  needsTree(`Debian 13: ${name}`, async t => {
    t.regex(await inSystem(DEBIAN_13, PLAIN, ...places!, scriptOf({lines})), prints);
  });
}
