/** The last words of `npm test`: which tests have not run, and what makes them run. */

import {plugins} from './configuration.js';
import {obstacle} from './obstacle.js';

for (const plugin of plugins) {
  const problem = obstacle(plugin);
  if (problem !== undefined) {
    console.log(`Not run: the tests under Slurm with proctrack/${plugin}: ${problem}`);
  }
}
