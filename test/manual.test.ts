import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {project, test, useBench} from './helpers/jobbus.js';

useBench();

const page = readFileSync(join(project, 'share/man/man1/jobbus-run.1'), 'utf8');

test('the manual page says all that --help says, in its order', async t => {
  const {stdout: help} = await t.context.run(['--help']);
  const words = ['--local-file', '--no-hyphenation', '--no-justification', '--warnings=w', '-'];
  const {code, stdout, stderr} = await t.context.run(words, {program: 'man', input: page, environment: {LC_ALL: 'C.UTF-8', MANWIDTH: '80'}});
  t.is(stderr, '', 'and roff has nothing to say about it');
  t.is(code, 0);
  const text = stdout.replace(/\s+/g, ' ');
  let end = 0;
  for (const block of help.trimEnd().split('\n\n')) {
    const said = block.replace(/^[A-Z][a-z ]+:/, '').replace(/\s+/g, ' ').trim();
    const begin = text.indexOf(said, end);
    t.true(begin >= end, block);
    end = begin + said.length;
  }

  for (const section of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'ENVIRONMENT', 'EXIT STATUS', 'SIGNALS', 'FILES', 'EXAMPLES', 'SEE ALSO']) {
    t.regex(stdout, new RegExp(`^${section}$`, 'm'));
  }
});

test('the manual page tells the version', t => {
  t.true(page.includes(`jobbus\\-run ${(JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {version: string}).version}`));
});
