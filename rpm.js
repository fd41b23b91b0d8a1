// The release for one architecture, as a package for Red Hat, SUSE and their kin. Usage: rpm.js [x64 | arm64] [DIRECTORY]
import {cpSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {architecture, description, destination, fillInstalled, level, run, settle, staged, version} from './tree.js';

const ARCHITECTURES = {x64: 'x86_64', arm64: 'aarch64'};
const LICENCES = 'MIT AND LGPL-2.1-or-later AND LGPL-2.0-or-later AND BSD-2-Clause AND BSD-3-Clause AND Apache-2.0 AND MPL-2.0 AND Zlib AND Unicode-3.0';

const name = `jobbus-run-${version.replace('-', '~')}-1.${ARCHITECTURES[architecture]}.rpm`;

staged(stage => {
  const root = join(stage, 'root');
  fillInstalled(root);
  settle(root);
  writeFileSync(join(stage, 'jobbus-run.spec'), specification(root));
  const settings = Object.entries(settingsIn(stage)).flatMap(([macro, value]) => ['--define', `${macro} ${value}`]);
  run('rpmbuild', '-bb', '--quiet', '--target', `${ARCHITECTURES[architecture]}-linux`, ...settings, join(stage, 'jobbus-run.spec'));
  cpSync(join(stage, name), resolve(destination, name));
  console.log(resolve(destination, name));
});

/**
 * Who builds, when and on how many processors is not in the package. And nothing works on the programs: without its section of symbols, or with
 * another, the supervisor would have lost what Bun has put behind its own.
 */
function settingsIn(stage) {
  return {
    _topdir: stage,
    _rpmdir: stage,
    _build_name_fmt: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    _buildhost: 'localhost',
    use_source_date_epoch_as_buildtime: 1,
    clamp_mtime_to_source_date_epoch: 1,
    source_date_epoch_from_changelog: 0,
    _binary_payload: `w${level}T4.xzdio`,
    _build_id_links: 'none',
    debug_package: '%{nil}',
    __os_install_post: '%{nil}',
  };
}

/**
 * A file stands for dbus-daemon: its package has another name on each system. The directories of shells that may not be there are also ours: removed
 * with the package, unless another has them.
 */
function specification(root) {
  return `Name: jobbus-run
Version: ${version.replace('-', '~')}
Release: 1
Summary: D-Bus session of its own for one command, for Slurm
License: ${LICENCES}
AutoReqProv: no
Requires: /usr/bin/dbus-daemon
Requires: libc.so.6(GLIBC_2.17)(64bit)

%description
${description}

%install
cp -a '${root}/usr' %{buildroot}/

%files
%defattr(-,root,root)
/usr/bin/jobbus-run
/usr/lib/jobbus-run
/usr/share/man/man1/jobbus-run.1.gz
/usr/share/bash-completion/completions/jobbus-run
/usr/share/zsh/site-functions/_jobbus-run
/usr/share/fish/vendor_completions.d/jobbus-run.fish
%dir /usr/share/bash-completion
%dir /usr/share/bash-completion/completions
%dir /usr/share/zsh
%dir /usr/share/zsh/site-functions
%dir /usr/share/fish
%dir /usr/share/fish/vendor_completions.d
%doc /usr/share/doc/jobbus-run
%dir /usr/share/jobbus-run
%license /usr/share/jobbus-run/LICENSE
%license /usr/share/jobbus-run/LICENSES
/usr/share/jobbus-run/[!L]*
`;
}
