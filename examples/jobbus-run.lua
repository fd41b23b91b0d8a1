-- A module for Lmod: as VERSION.lua in a directory jobbus-run of MODULEPATH, with the archive unpacked in /opt/jobbus-run/VERSION.
-- No MANPATH: man finds share/man by PATH, and a MANPATH would hide the system's pages.
help([[
jobbus-run -- COMMAND gives COMMAND a D-Bus session of its own: a private XDG_RUNTIME_DIR and a private session bus.
See man jobbus-run.
]])
whatis("Name: jobbus-run")
whatis("Version: " .. myModuleVersion())
whatis("Description: Run a command with a D-Bus session of its own")

prepend_path("PATH", pathJoin("/opt/jobbus-run", myModuleVersion(), "bin"))
