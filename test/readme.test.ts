import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {project, test, useBench} from './helpers/jobbus.js';

useBench();

const readme = readFileSync(join(project, 'README.md'), 'utf8');

test('the README shows --help verbatim', async t => {
  const {stdout} = await t.context.run(['--help']);
  t.true(readme.includes(`\n\`\`\`\n${stdout}\`\`\`\n`));
});

test("the README's first command does the main job, and its second is what CI runs", async t => {
  const [first, second] = Array.from(readme.matchAll(/```sh\n(apt-get .*)\n```/g), match => match[1]!);
  const [, words] = first!.split('bin/jobbus-run -- ');
  const {code, stdout} = await t.context.run(['--', ...words!.split(' ')]);
  t.is(code, 0);
  t.regex(stdout, /org\.freedesktop\.DBus/);
  t.true(readFileSync(join(project, '.ci/run'), 'utf8').includes(`\n${second!}\n`));
});
