// The release for one architecture, as a package for Debian and its kin. Usage: deb.js [x64 | arm64] [DIRECTORY]
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {architecture, description, destination, fillInstalled, level, run, settle, staged, version} from './tree.js';

const ARCHITECTURES = {x64: 'amd64', arm64: 'arm64'};

const deb = resolve(destination, `jobbus-run_${version}_${ARCHITECTURES[architecture]}.deb`);

staged(stage => {
  const root = join(stage, 'root');
  fillInstalled(root);
  writeCopyright(join(root, 'usr/share'));
  renameSync(join(root, 'usr/share/zsh/site-functions'), join(root, 'usr/share/zsh/vendor-completions')); // Debian's zsh looks there alone.
  writeControl(root);
  settle(root);
  run('dpkg-deb', '--root-owner-group', '-Zxz', `-z${level}`, '--build', root, deb);
  console.log(deb);
});

/** Where Debian's policy wants the terms. */
function writeCopyright(share) {
  const terms = ['LICENSE', 'LICENSES'].map(name => readFileSync(join(share, 'jobbus-run', name), 'utf8'));
  writeFileSync(join(share, 'doc/jobbus-run/copyright'), terms.join('\n'));
}

function writeControl(root) {
  const sums = run('sh', '-c', 'cd "$1" && find usr -type f | LC_ALL=C sort | xargs md5sum', 'sh', root);
  const [size] = run('du', '--summarize', '--apparent-size', '--block-size=1024', root).split('\t');
  mkdirSync(join(root, 'DEBIAN'));
  writeFileSync(join(root, 'DEBIAN/md5sums'), sums);
  writeFileSync(join(root, 'DEBIAN/control'), `Package: jobbus-run
Version: ${version.replace('-', '~')}
Architecture: ${ARCHITECTURES[architecture]}
Maintainer: the jobbus-run authors <jobbus-run@localhost>
Installed-Size: ${size}
Depends: dbus-daemon | dbus, libc6 (>= 2.17)
Section: utils
Priority: optional
Description: D-Bus session of its own for one command, for Slurm
 ${description}
`);
}
