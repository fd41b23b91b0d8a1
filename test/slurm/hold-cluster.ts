/** Starts a cluster with a job, says where, and waits to be killed; if its test ends before that, it ends too. */

import {spawn} from 'node:child_process';
import {startCluster} from './cluster.js';

const {environment, nodes} = await startCluster('cgroup', 1);
spawn('srun', ['sleep', '1000'], {cwd: '/', env: environment, stdio: 'ignore'});
console.log(`${environment.SLURM_CONF}\n${nodes[0]}`);
process.stdin.resume().once('end', () => process.exit());
