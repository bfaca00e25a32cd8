"""Where an agent looks for Flower, by what has installed the agent."""

import shutil
import sys
from pathlib import Path

import pytest

from agent.learning.carrier import CHILD
from agent.learning.flower_place import HERE, FlowerPlace, flower_place


def install(place: FlowerPlace, version: str) -> Path:
    """What dpkg leaves of the package. Returns the folder."""
    folder = Path(place.python).parents[1]
    (folder / "lib" / "python3.11" / "site-packages" / f"seawall-{version}.dist-info").mkdir(parents=True)
    return folder


def test_an_agent_of_a_package_has_its_child_run_by_the_package_beside_it(tmp_path: Path) -> None:
    place = flower_place(tmp_path / "seawall-agent", "dpkg", "1.0")
    assert place.python == str(tmp_path / "seawall-agent-learning" / "bin" / "python3")
    assert place.how_to_install == "apt install seawall-agent-learning"


def test_the_package_is_there_from_the_moment_it_is_installed_until_it_is_removed(tmp_path: Path) -> None:
    place = flower_place(tmp_path / "seawall-agent", "dpkg", "1.0")
    assert not place.is_there()
    folder = install(place, "1.0")
    assert place.is_there()
    shutil.rmtree(folder)
    assert not place.is_there()


def test_a_package_of_another_version_than_the_agents_counts_for_none(tmp_path: Path) -> None:
    place = flower_place(tmp_path / "seawall-agent", "dpkg", "1.1")
    install(place, "1.0")
    assert not place.is_there()


@pytest.mark.parametrize("installer", ["pip", "uv", ""])
def test_any_other_agent_has_its_child_run_by_its_own_interpreter(installer: str, tmp_path: Path) -> None:
    """Also one whose virtual environment somebody has called as the package's is called."""
    place = flower_place(tmp_path / "seawall-agent", installer, "1.0")
    assert place.python == sys.executable
    assert place.how_to_install == "pip install 'seawall[agent,learning]'"
    assert place.is_there()


def test_the_child_of_this_agent_is_isolated_from_whoever_starts_it() -> None:
    assert (HERE.python, "-I", "-m", "agent.learning.flower_child") == CHILD
