"""A private virtual environment: made without running anything of the device's, so that any machine builds for any other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NEWEST_GLIBC = 28
"""Of 2.x: Debian 10, Ubuntu 20.04. A wheel that wants a newer one is not taken."""
_OLDEST_GLIBC = 17

_USELESS = ("pip", "pip-*.dist-info", "bin", "**/tests", "**/*.a", "**/*.pyx", "**/*.pxd", "**/*.h", "*.dist-info/RECORD")
"""An installer, console scripts that name the building machine's Python, tests, what compilers read, and a list of all that."""


def install_libraries(site: Path, machine: str, requirements: Path) -> None:
    """Installs what is locked, from wheels alone.

    Args:
        site: the site-packages folder.
        machine: x86_64 or aarch64.
        requirements: with hashes.
    """
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)] + [f"manylinux2014_{machine}"]
    major, minor = sys.version_info[:2]  # the markers in the file are judged by the Python that runs this
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--python-version={major}.{minor}"]
    command += [f"--abi={abi}" for abi in (f"cp{major}{minor}", "abi3", "none")]
    command += [f"--platform={platform}" for platform in platforms]
    subprocess.run([*command, f"--target={site}", f"--requirement={requirements}"], check=True)  # noqa: S603


def write_venv(venv: Path, python: str) -> None:
    """Writes what makes a folder a virtual environment; see the module `site` of the standard library.

    Args:
        venv: the folder.
        python: the interpreter's name in /usr/bin.
    """
    version = python.removeprefix("python")
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n")
    for pattern in _USELESS:
        for path in (venv / "lib" / python / "site-packages").glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def tidy(folder: Path, seconds: int) -> None:
    """Gives every file the same mode and time, whatever the umask and the clock here."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (seconds, seconds))
