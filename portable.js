// The archive for nodes that have no Node: what npm would publish, with a Node beside it. Usage: portable.js [ARCH] [DESTINATION]
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {cpSync, existsSync, mkdirSync, readFileSync, rmSync} from 'node:fs';
import {arch as ownArch} from 'node:os';
import {dirname, join, resolve} from 'node:path';

/** Of the line that Node itself calls LTS; the checksums are the registry's, and are looked at before anything is unpacked. */
const NODE_VERSION = '24.21.0';
const INTEGRITY = {
  x64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  arm64: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
};

const [arch = ownArch(), destination = '.'] = process.argv.slice(2);
if (!(arch in INTEGRITY)) {
  console.error(`There is no Node for ${arch} here: name one of ${Object.keys(INTEGRITY).join(', ')}`);
  process.exit(1);
}

const {version} = JSON.parse(readFileSync('package.json', 'utf8'));
const name = `jobbus-run-${version}-linux-${arch}`;
const downloads = 'build/portable';
const stage = resolve(downloads, `stage-${arch}-${process.pid}`);
mkdirSync(stage, {recursive: true});
try {
  makeTree(join(stage, name));
  const archive = join(resolve(destination), `${name}.tar.gz`);
  const whose = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mode=go=rX,u+w'];
  execFileSync('tar', ['--create', '--gzip', '--file', archive, '--directory', stage, ...whose, name]);
  console.log(archive);
} finally {
  rmSync(stage, {recursive: true});
}

function makeTree(root) {
  const [{files}] = JSON.parse(npm('pack', '--dry-run', '--json', '--ignore-scripts'));
  for (const {path} of files) {
    copy(path, join(root, path));
  }

  // Where man(1) looks for the pages of a program in bin.
  copy('dist/jobbus-run.1', join(root, 'share/man/man1/jobbus-run.1'));
  execFileSync('tar', ['--extract', '--file', fetchNode(), '--directory', stage, 'package/bin/node', 'package/LICENSE']);
  copy(join(stage, 'package/bin/node'), join(root, 'lib/node'));
  copy(join(stage, 'package/LICENSE'), join(root, 'lib/LICENSE.node'));
}

function copy(from, to) {
  mkdirSync(dirname(to), {recursive: true});
  cpSync(from, to);
}

/** @returns the path of the registry's archive */
function fetchNode() {
  const archive = join(downloads, `node-linux-${arch}-${NODE_VERSION}.tgz`);
  if (!existsSync(archive)) {
    npm('pack', `node-linux-${arch}@${NODE_VERSION}`, '--pack-destination', downloads);
  }

  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (found !== INTEGRITY[arch]) {
    throw new Error(`${archive} is not the Node that was chosen: its checksum is ${found}; remove it, and see whether the registry's is another`);
  }

  return archive;
}

function npm(...words) {
  return execFileSync('npm', words, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
}
