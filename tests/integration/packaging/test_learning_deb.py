"""Flower's .deb for the agent: built, unpacked beside the agent's, and a round played by the child from there."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from agent.learning.carrier import CHILD, Answer, carry
from agent.learning.flower_place import PACKAGE, flower_place
from contract.secagg.client import Participant
from contract.secagg.server import Coordinator
from tests.fakes.learning_site import learning_site
from tests.fakes.secagg_cohort import Cohort
from tests.integration.packaging.building import ELF_MACHINE, compiled, copy_source, field, machine, unpack

SITES = "lib/python3*/site-packages"
DEADLINE_SECONDS, STAGE_SECONDS = 100.0, 30.0
SAY = "import json; from agent.learning.flower_place import HERE; print(json.dumps([HERE.python, HERE.is_there(), HERE.how_to_install]))"

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Built:
    """Packages, and what is in them."""

    agent: Path
    learning: Path
    again: Path
    arm64: Path
    folder: Path

    def install(self, package: Path, name: str) -> Path:
        """Unpacks a package into a root of a name, and returns /usr/lib of it."""
        return unpack(package, self.folder / name) / "usr" / "lib"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    here, elsewhere = (copy_source(tmp_path_factory.mktemp(name)) for name in ("source", "elsewhere"))
    with ThreadPoolExecutor() as pool:
        agent, again = pool.submit(here.package), pool.submit(elsewhere.package, umask=0o077, which="learning")
        learning, arm64 = here.package(which="learning"), here.package("arm64", which="learning")
        return Built(agent.result(), learning, again.result(), arm64, tmp_path_factory.mktemp("roots"))


@pytest.fixture(scope="module")
def device(built: Built) -> Path:
    """/usr/lib of a device that has both."""
    built.install(built.agent, "device")
    return built.install(built.learning, "device")


def said_by_the_agent(library: Path) -> list[object]:
    """What the installed agent knows of Flower: by its own interpreter and nothing else."""
    command = [str(library / "seawall-agent" / "bin" / "python3"), "-I", "-c", SAY]
    said: list[object] = json.loads(subprocess.run(command, check=True, capture_output=True, env={}, cwd="/").stdout)
    return said


def test_another_copy_and_another_umask_give_the_same_bytes(built: Built) -> None:
    assert built.again.name == built.learning.name
    assert built.again.read_bytes() == built.learning.read_bytes()


def test_for_arm64_it_holds_the_same_libraries_compiled_for_it(built: Built, device: Path) -> None:
    arm64 = built.install(built.arm64, "arm64")
    ours, theirs = ({one.name for one in library.glob(f"{PACKAGE}/{SITES}/*.dist-info")} for library in (device, arm64))
    assert ours == theirs
    assert {machine(path) for path in compiled(arm64)} == {ELF_MACHINE["arm64"]}


def test_it_wants_the_agent_of_its_own_version_and_brings_the_same_modules(built: Built, device: Path) -> None:
    assert f"seawall-agent (= {field(built.agent, 'Version')})" in field(built.learning, "Depends").split(", ")
    (site,), (agents,) = (list((device / name).glob(SITES)) for name in (PACKAGE, "seawall-agent"))
    ours = [path.relative_to(site) for room in ("agent", "contract") for path in (site / room).rglob("*.py")]
    assert Path("agent/learning/flower_child.py") in ours
    assert all((site / path).read_bytes() == (agents / path).read_bytes() for path in ours)
    assert {path.parts[1] for path in ours if path.parts[0] == "agent"} == {"__init__.py", "learning"}


def test_neither_package_holds_what_is_the_others_nor_anything_that_installs(device: Path) -> None:
    names = {name: {path.name for path in (device / name).glob(f"{SITES}/*")} for name in (PACKAGE, "seawall-agent")}
    assert "flwr" not in names["seawall-agent"]
    assert not names[PACKAGE] & {"hub", "models", "seawall", "onnxruntime", "cedarpy", "pip", "bin"}
    assert not [path for path in device.rglob("uv") if path.is_file()]


def test_an_agent_without_it_says_how_to_get_it_and_finds_it_once_it_is_there(built: Built) -> None:
    library = built.install(built.agent, "alone")
    python = str(library / PACKAGE / "bin" / "python3")
    assert said_by_the_agent(library) == [python, False, f"apt install {PACKAGE}"]
    built.install(built.learning, "alone")
    assert said_by_the_agent(library)[:2] == [python, True]


def taking_part(participant: Participant) -> Callable[[], Answer]:
    async def answer(message: bytes) -> bytes:
        return await asyncio.to_thread(participant.receive, message)

    return lambda: answer


async def test_a_round_with_a_real_hub_is_played_by_the_child_from_the_package(device: Path, tmp_path: Path) -> None:
    child = (flower_place(device / "seawall-agent", "dpkg", version("seawall")).python, *CHILD[1:])
    cohort = Cohort(5, entries=256)
    answers = {agent: taking_part(participant) for agent, participant in cohort.participants().items()}
    coordinator = Coordinator(cohort.plan(), cohort.roster)
    async with (
        learning_site(tmp_path, answers, carrying=partial(carry, command=child)) as site,
        site.learning.transport.open(cohort.agents, DEADLINE_SECONDS, DEADLINE_SECONDS) as grid,
    ):
        messages = coordinator.invitations()
        while messages:
            for agent, answer in (await grid.exchange(messages, STAGE_SECONDS)).items():
                coordinator.receive(agent, answer)
            messages = coordinator.close_stage()
    assert coordinator.sum is not None
    assert coordinator.sum.values == cohort.sum_of(cohort.agents)


def test_lintian_finds_no_error(built: Built) -> None:
    assert shutil.which("lintian"), "apt-get install lintian"
    command = ["lintian", "--allow-root", "--fail-on=error", str(built.learning)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
