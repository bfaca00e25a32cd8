"""The packages for arm64, run by an emulator that plays a Cortex-A72, on the libraries of a Debian 12 for arm64."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.packaging.building import BUNDLE, copy_source, unpack
from tests.integration.packaging.running import RunningAgent

EMULATOR = "/usr/bin/qemu-aarch64-static"
PYTHON = "/usr/lib/seawall-agent/bin/python3"
FLOWERS_PYTHON = "/usr/lib/seawall-agent-learning/bin/python3"
CORE = """\
processor\t: {number}
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
"""In /proc/cpuinfo of a Cortex-A72. The emulator shows this machine's own, on which ONNX Runtime for arm64 fails."""

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a device; nothing of them is configured, since nothing but Python is needed."""
    assert shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin"), "apt-get install debootstrap"
    assert Path(EMULATOR).exists(), "apt-get install qemu-user-static"
    root = tmp_path_factory.mktemp("arm64") / "root"
    command = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", "--include=python3", "bookworm", str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        unpack(package, root)
    source = copy_source(tmp_path_factory.mktemp("source"))
    for which in ("agent", "learning"):
        unpack(source.package("arm64", which=which), root)
    shutil.copy(EMULATOR, root / "emulator")
    shutil.copytree(BUNDLE, root / "var/lib/seawall/models/current")
    (root / "etc/seawall/agent.toml").write_text("[http]\nport = 0\n[mqtt]\nport = 9\n")
    (root / "cpuinfo").write_text("".join(CORE.format(number=number) for number in range(2)))
    return root


def emulated(device: Path, python: str, *arguments: str) -> list[str]:
    """Returns the command that runs a Python of the device's."""
    mounts = 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && mount --bind /sys "$0/sys"'
    script = f'{mounts} && mount --bind "$0/cpuinfo" "$0/proc/cpuinfo" && exec chroot "$0" "$@"'
    emulator = ["/emulator", "-cpu", "cortex-a72", "-0", python, python, "-I"]
    return ["unshare", "--mount", "sh", "-c", script, str(device), *emulator, *arguments]


@pytest.fixture
def agent(device: Path) -> Iterator[RunningAgent]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "STATE_DIRECTORY": "/var/lib/seawall-agent"}
    agent = RunningAgent(emulated(device, PYTHON, "/usr/lib/seawall-agent/bin/seawall-agent", "run"), environment)
    yield agent
    assert agent.stop() == 0


def test_the_agent_for_arm64_answers_a_prompt(agent: RunningAgent) -> None:
    assert "boiling point of water is" in agent.ask("What is the boiling point of water?")


def test_flowers_package_for_arm64_runs_the_child_which_ends_when_nobody_speaks_to_it(device: Path) -> None:
    child = emulated(device, FLOWERS_PYTHON, "-m", "agent.learning.flower_child")
    done = subprocess.run(child, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
