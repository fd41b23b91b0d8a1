/** An interactive bash with job control, in a pty. */

import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {binary, project} from './ground.js';
import {childrenOf, eventually} from './processes.js';

export interface Terminal {
  /** Of the shell. */
  readonly shell: number;
  readonly type: (text: string) => void;
  /** All that has come out, without carriage returns. */
  readonly output: () => string;
  /** Waits for the pattern in what comes out from now on, or after the last match. */
  readonly expect: (pattern: RegExp) => Promise<RegExpExecArray>;
  /** Ctrl-C and the like. */
  readonly press: (letter: string) => void;
  readonly resize: () => void;
  readonly hangUp: () => Promise<void>;
  /** Ends the shell. */
  readonly end: () => Promise<void>;
}

export async function startTerminal(environment: NodeJS.ProcessEnv): Promise<Terminal> {
  const words = ['/bin/bash', '--norc', '--noprofile', '--noediting', '-i'];
  const child = spawn(join(project, 'fixtures/in-terminal'), words, {env: {...environment, PS1: 'prompt> ', TERM: 'xterm'}, stdio: ['pipe', 'pipe', 'inherit']});
  const closed = new Promise<void>(resolve => child.once('close', () => resolve()));
  let output = '';
  let seen = 0;
  child.stdin.on('error', () => {});
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1').replaceAll('\r', '')));
  const type = (text: string): void => void child.stdin.write(text);
  const expect = async (pattern: RegExp): Promise<RegExpExecArray> => {
    const match = await eventually(`${String(pattern)} in the terminal`, () => pattern.exec(output.slice(seen)) ?? undefined)
      .catch((error: unknown) => {
        throw new Error(`${String(error)}; it shows ${JSON.stringify(output)}`);
      });
    seen += match.index + match[0].length;
    return match;
  };
  await expect(/prompt> /);
  // What is typed must not be taken for what is answered.
  type('stty -echo\n');
  await expect(/prompt> /);
  return {
    shell: await eventually('the shell', () => childrenOf(child.pid!)[0]?.pid),
    type,
    output: () => output,
    expect,
    press: letter => type(String.fromCharCode(letter.charCodeAt(0) & 0x1f)),
    resize: () => void child.kill('SIGUSR1'),
    async hangUp() {
      child.kill('SIGKILL');
      await closed;
    },
    async end() {
      type('exit\n');
      await closed;
    },
  };
}

export interface Job {
  readonly terminal: Terminal;
  /** jobbus-run, or the command where there is none. */
  readonly task: number;
  readonly command: number;
  readonly count: (signal: NodeJS.Signals) => number;
  /** Waits until all signals so far have been dealt with. */
  readonly settle: () => Promise<void>;
  /** Ends the command and the shell. */
  readonly end: () => Promise<void>;
}

/** Starts a counter in the foreground. */
export async function startCounterIn(terminal: Terminal, wrapped: boolean, words = '', prefix = ''): Promise<Job> {
  terminal.type(`${wrapped ? `${binary} -v -- ` : ''}${prefix} ${join(project, 'fixtures/count-signals')} ${words}\n`);
  const command = Number(await eventually('the counter to start', () => /ready (\d+)\n/.exec(terminal.output())?.[1]));
  await eventually('jobbus-run to forward', () => !wrapped || terminal.output().includes(`as process ${command}\n`));

  const task = childrenOf(terminal.shell)[0]!.pid;
  const lines = (pattern: RegExp): number => terminal.output().split('\n').filter(line => pattern.test(line)).length;
  const count = (signal: NodeJS.Signals): number => lines(new RegExp(`^(?!jobbus-run:).*${signal}$`));
  const waitForMore = async (what: () => number, act: () => void): Promise<void> => {
    const before = what();
    act();
    await eventually('a signal to arrive', () => what() > before);
  };
  return {
    terminal,
    task,
    command,
    count,
    async settle() {
      if (wrapped) {
        await waitForMore(() => lines(/jobbus-run: SIGURG /), () => process.kill(task, 'SIGURG'));
      }

      await waitForMore(() => count('SIGPROF'), () => process.kill(command, 'SIGPROF'));
      await waitForMore(() => count('SIGPROF'), () => process.kill(command, 'SIGPROF'));
    },
    async end() {
      process.kill(command, 'SIGKILL');
      await terminal.expect(/Killed.*\n|prompt> /);
      await terminal.end();
    },
  };
}
