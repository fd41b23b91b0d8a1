// Bundles the sources into CommonJS, the fastest form to start, and keeps the launch path small.
import {execFileSync} from 'node:child_process';
import {chmodSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {build} from 'esbuild';
import {manualPage} from './manual.js';

const {version} = JSON.parse(readFileSync('package.json', 'utf8'));

/** Bytes; a launch pays for every one, so growth is a decision and not an accident. */
const LAUNCH_BUNDLE_LIMIT = 50_000;

/** The bundles of what a plain run does not do. */
const LATER = ['doctor', 'help', 'shell', 'upkeep'];

/** The modules of Node that the launch path may load: each costs every task of every job. */
const LAUNCH_MODULES = new Set(['child_process', 'fs', 'net', 'os']);

// Node parses the whole file before it runs the first line, so the syntax below is lowered for old
// versions, and one that is too old gets as far as saying so. Before 20.9 Node cannot bind an abstract socket.
const versionCheck = `var nodeVersion = process.versions.node.split('.');
if (nodeVersion[0] * 100 + +nodeVersion[1] < 2009) {
  require('fs').writeSync(2, 'jobbus-run: running on Node ' + process.versions.node + ' (' + process.execPath +
    ') failed: Node 20.9 or later is needed; put a newer one first on PATH or name it in JOBBUS_NODE\\n');
  for (var at = 2; at < process.argv.length && process.argv[at] !== '--'; at++) {
    if (/^--(.*-syntax|stop)$/.test(process.argv[at])) {
      require('fs').writeSync(1, 'false');
      break;
    }
    if (process.argv[at][0] !== '-' && process.argv[at - 1][0] !== '-') {
      break;
    }
  }
  process.exit(125);
}`;

/** The scripts as text, without the comments: what /bin/sh is given, and what ps shows. */
const shellText = {
  name: 'shell-text',
  setup({onLoad}) {
    onLoad({filter: /\.sh$/}, ({path}) => ({
      contents: readFileSync(path, 'utf8').replace(/^\s*#.*\n/gm, ''),
      loader: 'text',
    }));
  },
};

const common = {
  outdir: 'dist',
  outExtension: {'.js': '.cjs'},
  bundle: true,
  platform: 'node',
  format: 'cjs',
  minify: true,
  legalComments: 'none',
  metafile: true,
  plugins: [shellText],
  define: {VERSION: JSON.stringify(version)},
};
const external = LATER.map(name => `./${name}.cjs`);
const result = await build({
  ...common,
  entryPoints: {'jobbus-run': 'src/main.ts'},
  target: 'node12',
  banner: {js: versionCheck},
  external,
});
const later = await build({...common, entryPoints: Object.fromEntries(LATER.map(name => [name, `src/${name}.ts`])), target: 'node20', external});

const {bytes, imports} = result.metafile.outputs['dist/jobbus-run.cjs'];
const foreign = imports.map(({path}) => path).filter(path => !external.includes(path) && !LAUNCH_MODULES.has(path));
if (bytes > LAUNCH_BUNDLE_LIMIT || foreign.length > 0) {
  console.error(`The launch bundle has ${bytes} bytes (at most ${LAUNCH_BUNDLE_LIMIT}) and loads beside its list: ${foreign.join(', ') || 'nothing'}`);
  process.exit(1);
}

chmodSync('bin/jobbus-run', 0o755);

writeFileSync('dist/jobbus-run.1', manualPage(execFileSync(process.execPath, ['dist/jobbus-run.cjs', '--help'], {encoding: 'utf8'}), version));

/** Of the packages that are part of a bundle. */
function licences({inputs}) {
  const packages = new Set(Object.keys(inputs).flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
  return [...packages].sort().map(path => {
    const {name, version} = JSON.parse(readFileSync(`${path}/package.json`, 'utf8'));
    const file = readdirSync(path).find(entry => /^licen[cs]e/i.test(entry));
    return `${name} ${version}\n\n${readFileSync(`${path}/${file}`, 'utf8').trim()}\n`;
  });
}

writeFileSync('dist/LICENSES', licences(later.metafile).join('\n---\n\n'));
