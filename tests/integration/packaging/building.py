"""Building a device's .debs as a user does, from a copy of the tree that nobody edits meanwhile."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = ROOT / "build" / "models" / "smollm2-135m-instruct-int8"
COPIED = ("agent", "contract", "docs", "hub", "models", "packaging", "protos", "requirements")
ELF_MACHINE = {"amd64": 62, "arm64": 183}
"""elf.h: EM_X86_64, EM_AARCH64."""
NAMES = {"agent": "seawall-agent", "learning": "seawall-agent-learning"}
FILES = ("CHANGELOG.md", "Makefile", "README.md", "pyproject.toml")


@dataclass(frozen=True)
class Source:
    """A copy of the tree."""

    folder: Path

    def make(self, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        """Runs make in it, at a fixed time."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
            check=False,
            capture_output=True,
            text=True,
            umask=umask,
        )

    def package(self, arch: str = "amd64", umask: int = 0o022, which: str = "agent") -> Path:
        """Builds a package and returns its path."""
        done = self.make("package", f"ARCH={arch}", f"PACKAGE={which}", umask=umask)
        assert done.returncode == 0, done.stderr
        (package,) = (self.folder / "dist").glob(f"{NAMES[which]}_*_{arch}.deb")
        assert str(package) in done.stdout
        return package


def copy_source(folder: Path) -> Source:
    """Copies what a package is built from; the builder's own venv is made once, in the tree."""
    subprocess.run(["make", "--silent", f"PYTHON={sys.executable}", ".venv-package/stamp"], cwd=ROOT, check=True, capture_output=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder)
    (folder / ".venv-package").symlink_to(ROOT / ".venv-package")
    return Source(folder)


def unpack(package: Path, folder: Path) -> Path:
    """Unpacks a package without installing it and returns the folder."""
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
    return folder


def field(package: Path, name: str) -> str:
    """Returns a field of a package's control file."""
    return subprocess.run(["dpkg-deb", "--field", str(package), name], check=True, capture_output=True, text=True).stdout.strip()


def libraries(unpacked: Path) -> set[str]:
    """Returns the libraries of an unpacked package, by their metadata's folders."""
    return {found.name for found in unpacked.glob("usr/lib/seawall-agent*/lib/python3*/site-packages/*.dist-info")}


def compiled(unpacked: Path) -> list[Path]:
    """Returns what is compiled in an unpacked package."""
    return [path for path in unpacked.rglob("*.so*") if path.is_file()]


def machine(path: Path) -> int:
    """Returns which machine a compiled file is for; see ELF_MACHINE."""
    return int.from_bytes(path.read_bytes()[18:20], "little")
