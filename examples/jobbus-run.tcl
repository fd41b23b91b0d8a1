#%Module1.0
# A module for Environment Modules: as VERSION in a directory jobbus-run of MODULEPATH, with the archive unpacked in /opt/jobbus-run/VERSION.
# No MANPATH: man finds share/man by PATH, and a MANPATH would hide the system's pages.
proc ModulesHelp {} {
  puts stderr "jobbus-run -- COMMAND gives COMMAND a D-Bus session of its own: a private XDG_RUNTIME_DIR and a private session bus."
  puts stderr "See man jobbus-run."
}

set version [file tail [module-info name]]
module-whatis "jobbus-run $version: run a command with a D-Bus session of its own"

prepend-path PATH /opt/jobbus-run/$version/bin
