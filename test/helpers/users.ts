/** Ordinary users, made for a test file by root and removed behind it. */

import {randomBytes} from 'node:crypto';
import {execa} from 'execa';
import {test} from './jobbus.js';

export interface User {
  readonly name: string;
  readonly id: number;
  /** Of the same name; its number is another where groups have been made without users. */
  readonly group: number;
}

/** Call in a test file: two users who are nothing to each other. @returns for the tests, once they run, to get them */
export function useUsers(): () => {readonly victim: User; readonly neighbour: User} {
  let users: readonly User[] = [];
  if (process.getuid!() === 0) {
    test.before(async () => {
      users = [await makeUser(), await makeUser()];
    });
    test.after.always(async () => {
      for (const {name} of users) {
        await persistently('userdel', [name]);
      }
    });
  }

  return () => ({victim: users[0]!, neighbour: users[1]!});
}

async function makeUser(): Promise<User> {
  const name = `jbt-${randomBytes(6).toString('hex')}`;
  await persistently('useradd', ['--no-create-home', name]);
  const [id, group] = await Promise.all(['-u', '-g'].map(async which => Number((await execa('id', [which, name])).stdout)));
  return {name, id: id!, group: group!};
}

const ATTEMPTS = 100;

/** Others may be changing the list of users, and have it locked. */
async function persistently(program: string, words: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const {failed, stderr} = await execa(program, words, {reject: false});
    if (!failed) {
      return;
    }

    if (attempt === ATTEMPTS || !/lock|busy|currently used/.test(stderr)) {
      throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
    }

    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

/** Words for setpriv. */
export function asUser({id, group}: User, ...words: readonly string[]): string[] {
  return ['--reuid', String(id), '--regid', String(group), '--clear-groups', ...words];
}
