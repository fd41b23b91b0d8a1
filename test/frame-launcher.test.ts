/** What the frame's launcher tells the supervisor of its caller. */

import {closeSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {ALL_BLOCKED, ended, frameTest, makePipe, plant, readShown, recordOf, smallFrameTest, startPart, withEnvironment, type Frame, type Shown} from './helpers/frame.js';
import {fixture, needsRoot, project, useBench, type Bench, type StartOptions} from './helpers/jobbus.js';


useBench();

/** @param words that run it, with the program as the last but for its own words */
async function launched(bench: Bench, frame: Frame, words: readonly string[], options: StartOptions = {}): Promise<Shown> {
  const {code, stderr} = await bench.run(words.slice(1), {...options, program: words[0]!});
  if (code !== 42 || stderr !== '') {
    throw new Error(`ended with ${code}: ${stderr}`);
  }

  return readShown(frame);
}

/** @param entries a character is a byte */
function environmentFile({base}: Bench, entries: readonly string[]): string {
  const path = join(base, 'entries');
  writeFileSync(path, entries.map(entry => `${entry}\0`).join(''), 'latin1');
  return path;
}

/** What every child of the tests has; the fourth is the listing's own. */
const INHERITED = readdirSync('/proc/self/fd').map(Number).filter(number => number > 2 && isInherited(number));

function isInherited(number: number): boolean {
  try {
    return (Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))![1]!, 8) & 0o2000000) === 0;
  } catch {
    return false;
  }
}

/** The numbers that the record tells. */
function handedDown(shown: Shown): number[] {
  const {descriptors} = recordOf(shown);
  const numbers = descriptors === '-' ? [] : descriptors.split(',').flatMap(range => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({length: to - from + 1}, (_, at) => from + at);
  });
  return numbers.filter(number => !INHERITED.includes(number));
}

/** A program of the words, in a setting as fixtures/in-setting has it. */
function inSetting(setting: Readonly<Record<string, unknown>>, words: readonly string[]): string[] {
  return [fixture('in-setting'), JSON.stringify({environment: ['A=1'], words, ...setting})];
}

const ENTRIES = ['A=1', 'B=', 'a.b=2', 'no equals sign', '=', 'NOT_UTF8=\xff\xfe\x01', 'BASH_FUNC_f%%=() { :\n}', 'A=again', ':', '::A=3', 'JOBBUS_LAUNCHER=2:0', 'BUN_BE_BUN=1'];

frameTest('each entry of the environment comes as it was, behind one byte', async (t, frame) => {
  const shown = await launched(t.context, frame, [withEnvironment, environmentFile(t.context, ENTRIES), frame.program, 'jobbus-run', '--', 'a b', '']);
  t.deepEqual(shown.entries, ENTRIES.map(entry => `:${entry}`));
  t.deepEqual(shown.words, ['jobbus-run', '--', 'a b', '']);
  t.is(recordOf(shown).memory, '-');
  const {version} = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string};
  t.is(recordOf(shown).format, '2');
  t.is(recordOf(shown).version, version);
  t.is(recordOf(shown).role, 'caller');
  t.is(recordOf(shown).pid, Number(shown.status('Pid')));
});

smallFrameTest('what the loader obeys comes as any other, and is not obeyed', async (t, frame) => {
  const shown = await launched(t.context, frame, [withEnvironment, environmentFile(t.context, ['LD_PRELOAD=/none', 'LD_LIBRARY_PATH=/none']), frame.program, 'jobbus-run']);
  t.deepEqual(shown.entries, [':LD_PRELOAD=/none', ':LD_LIBRARY_PATH=/none']);
});

frameTest('no environment at all, and no words', async (t, frame) => {
  const shown = await launched(t.context, frame, [withEnvironment, environmentFile(t.context, []), frame.program]);
  t.deepEqual(shown.entries, []);
  t.true(shown.words.join('') === '', 'the kernel adds an empty word, or none');
});

frameTest('an entry too long for one byte more, and an empty one, go by a file of memory, in their places', async (t, frame) => {
  const long = (length: number): string => `L=${'x'.repeat(length - 2)}`;
  const entries = [long(131_071), 'A=1', '', long(131_070), 'B=2', long(131_069), '', long(131_071)];
  // At a limit of file sizes of 0, too, under which a file of memory cannot be written.
  const words = [withEnvironment, environmentFile(t.context, entries), '/usr/bin/prlimit', 'prlimit', '--fsize=0:', frame.program];
  const shown = await launched(t.context, frame, words);
  const stay = entries.map(entry => entry.length > 0 && entry.length < 131_071);
  t.true(isDeepStrictEqual(shown.entries, entries.map((entry, at) => stay[at] === true ? `:${entry}` : ':')));
  t.true(isDeepStrictEqual(shown.memory, entries.filter((_, at) => stay[at] === false)));
  t.is(shown.status('ShdPnd'), '0000000000000000', 'no XFSZ came of it');
  t.regex(shown.descriptors.get(Number(recordOf(shown).memory))!, /memfd/);
});

frameTest('an environment that a byte more for each would make too large goes by a file of memory as a whole', async (t, frame) => {
  const entries = Array.from({length: 195_000}, (_, at) => String(at % 10));
  const words = [withEnvironment, environmentFile(t.context, entries), frame.program, 'jobbus-run'];
  const shown = await launched(t.context, frame, ['/usr/bin/prlimit', '--stack=8388608:', ...words]);
  t.true(shown.entries.every(entry => entry === ':'));
  t.is(shown.entries.length, entries.length);
  t.true(isDeepStrictEqual(shown.memory, entries));
});

frameTest('the mask, ignored signals and soft limits are noted, the nameless signals among them, and all is blocked', async (t, frame) => {
  // 1, 13, 17, 24, 32, 33, 34, 64 ignored; 2, 15, 31, 32, 33, 63 blocked.
  const settings = '40000001c0004002:8000000380811001:777:-:-:1000000:4096';
  const control = makePipe(t.context, 'write');
  const status = makePipe(t.context, 'read');
  const gate = startPart(t.context, frame, ['jobbus-gate', settings, '-', '-', '3', '4', frame.program, 'jobbus-run'], ['ignore', 'ignore', 'inherit' as 'ignore', control.read, status.write]);
  writeSync(control.write, 'x');
  t.is((await ended(gate)).code, 42);
  [control.write, status.read].forEach(descriptor => closeSync(descriptor));
  const shown = await readShown(frame);
  t.is(recordOf(shown).settings, settings);
  t.is(shown.status('SigBlk'), ALL_BLOCKED);
  t.is((BigInt(`0x${shown.status('SigIgn')}`) >> 16n) & 1n, 0n, 'children are heeded');
  t.is(shown.limit('Max core file size'), '0');
  t.is(shown.limit('Max stack size'), String(8 << 20));
  t.not(shown.limit('Max open files'), '777');
});

for (const closed of ['0', '1', '2', '12', '012']) {
  frameTest(`closed standard descriptors are noted and filled: ${closed}`, async (t, frame) => {
    const words = inSetting({closed: Array.from(closed, Number)}, [frame.program, 'jobbus-run']);
    const shown = await launched(t.context, frame, words);
    t.is(recordOf(shown).closed, closed);
    Array.from(closed, Number).forEach(digit => t.is(shown.descriptors.get(digit), '/dev/null'));
    t.deepEqual(handedDown(shown), []);
  });
}

frameTest('descriptors are noted at odd numbers, and above the limit', async (t, frame) => {
  const descriptors = Object.fromEntries([3, 4, 9, 11, 12, 13, 500].map(number => [number, 'pipe']));
  const shown = await launched(t.context, frame, inSetting({descriptors}, ['/usr/bin/prlimit', '--nofile=6:', frame.program]));
  t.deepEqual(handedDown(shown), [3, 4, 9, 11, 12, 13, 500]);
  t.regex(recordOf(shown).descriptors, /^3-4,9,11-13,/);
  t.is(recordOf(shown).settings.split(':')[2], '6');
  t.is(recordOf(shown).directory, '5');
  t.is(recordOf(shown).closed, '-');
  t.regex(shown.descriptors.get(500)!, /^pipe:/);
});

frameTest('descriptors up to the limit are all in use', async (t, frame) => {
  const descriptors = Object.fromEntries([3, 4, 5, 6, 7, 8, 9].map(number => [number, 'pipe']));
  const shown = await launched(t.context, frame, inSetting({descriptors}, [withEnvironment, environmentFile(t.context, ['']), '/usr/bin/env', 'env', frame.program]));
  t.deepEqual(handedDown(shown), [3, 4, 5, 6, 7, 8, 9]);
  t.is(recordOf(shown).directory, '10');
});

frameTest('the working directory is left, and held', async (t, frame) => {
  const cwd = join(t.context.base, 'directory');
  mkdirSync(cwd);
  const shown = await launched(t.context, frame, [frame.program], {cwd});
  t.is(shown.descriptors.get(Number(recordOf(shown).directory)), cwd);
  t.is(shown.directory, '/');
});

frameTest('a removed working directory is left as any other', async (t, frame) => {
  const cwd = join(t.context.base, 'directory');
  mkdirSync(cwd);
  const shown = await launched(t.context, frame, ['/bin/sh', '-c', 'rmdir "$PWD" && exec "$0"', frame.program], {cwd});
  t.is(shown.descriptors.get(Number(recordOf(shown).directory)), `${cwd} (deleted)`);
});

needsRoot('a working directory without search permission is kept', async t => {
  const frame = plant(t.context, false);
  const cwd = join(t.context.base, 'directory');
  mkdirSync(cwd, {mode: 0o700});
  const shown = await launched(t.context, frame, ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', frame.program], {cwd});
  t.is(recordOf(shown).directory, '-');
  t.is(shown.directory, cwd);
});

frameTest('a link to the program finds the supervisor beside the file', async (t, frame) => {
  const link = join(t.context.base, 'link');
  symlinkSync(frame.program, link);
  t.deepEqual((await launched(t.context, frame, [link, 'word'])).words, [link, 'word']);
});
