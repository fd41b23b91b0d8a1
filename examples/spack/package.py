# A package for Spack: as packages/jobbus_run/package.py in a repository of your site. Call `spack install --no-checksum jobbus-run` where the archive is,
# or give version() the archive's sha256= and leave out --no-checksum. Spack before 1.0 wants packages/jobbus-run/package.py without the line of spack_repo.
import os
import platform

from spack_repo.builtin.build_systems.generic import Package

from spack.package import *


class JobbusRun(Package):
    """Run a command with a D-Bus session of its own: dbus-run-session for Slurm."""

    architecture = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    url = f"file://{os.getcwd()}/jobbus-run-0.1.0-linux-{architecture}.tar.xz"
    manual_download = True

    license("MIT")

    version("0.1.0")

    depends_on("dbus", type="run")

    sanity_check_is_file = ["bin/jobbus-run", "lib/jobbus-run/supervisor"]

    def install(self, spec, prefix):
        install_tree(".", prefix)
