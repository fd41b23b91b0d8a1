// All that a release consists of, with its checksums. Usage: release.js [DIRECTORY]
import {execFileSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';

const [directory = 'release'] = process.argv.slice(2);
mkdirSync(directory);
for (const architecture of ['x64', 'arm64']) {
  for (const script of ['archive.js', 'deb.js', 'rpm.js', 'manifest.js']) {
    execFileSync('node', [script, architecture, directory], {stdio: 'inherit'});
  }
}

writeFileSync(`${directory}/SHA256SUMS`, execFileSync('sh', ['-c', 'LC_ALL=C; sha256sum -- *'], {cwd: directory}));
