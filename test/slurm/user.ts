/** The ordinary user who submits the jobs. */

import {execFileSync, spawnSync} from 'node:child_process';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const NAME = 'jobbustest';

/** Makes the user where there is none yet. */
export function ordinaryUser(): User {
  if (spawnSync('id', [NAME]).status !== 0) {
    const {status, stderr} = spawnSync('useradd', ['-m', NAME], {encoding: 'utf8'});
    if (status !== 0 && status !== ALREADY_THERE) {
      throw new Error(`Making the user ${NAME} failed: ${stderr}`);
    }
  }

  return {name: NAME, uid: identity('-u'), gid: identity('-g')};
}

/** The exit status of useradd when another test process was faster. */
const ALREADY_THERE = 9;

function identity(option: string): number {
  return Number(execFileSync('id', [option, NAME], {encoding: 'utf8'}));
}
