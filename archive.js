// The release for one architecture, as an archive. Usage: archive.js [x64 | arm64] [DIRECTORY]
import {join, resolve} from 'node:path';
import {architecture, destination, fill, run, staged, time, version} from './tree.js';

const name = `jobbus-run-${version}-linux-${architecture}`;
const archive = resolve(destination, `${name}.tar.xz`);

staged(stage => {
  fill(join(stage, name));
  console.error(`packing ${name}: this takes a minute or two`);
  pack(stage);
  console.log(archive);
});

/** The same bytes from the same commit. How xz divides its work is in them: never by the number of processors. XZ_OPT has a say in the level. */
function pack(stage) {
  const whose = ['--owner=0', '--group=0', '--numeric-owner', '--mode=go=rX,u+w'];
  run('tar', '--create', '--file', archive, '--use-compress-program=xz --threads=4', '--sort=name', `--mtime=@${time}`, ...whose, '--directory', stage, name);
}
