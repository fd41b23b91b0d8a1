// Compiles the frame: one small static program. Usage: frame.js FILE [COMPILER [OPTION...]]
import {execFileSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';

const {version} = JSON.parse(readFileSync('package.json', 'utf8'));
const STRICT = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-pedantic'];
const SMALL = ['-Os', '-static', '-s'];

const [file, compiler = 'gcc', ...options] = process.argv.slice(2);
const sources = readdirSync('src/frame').filter(name => name.endsWith('.c')).map(name => `src/frame/${name}`);
execFileSync(compiler, [...STRICT, ...(options.length > 0 ? options : SMALL), `-DVERSION="${version}"`, '-o', file, ...sources], {stdio: 'inherit'});
