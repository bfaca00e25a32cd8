"""Where Flower is on this device: beside the agent where pip has installed both, in a package of its own where dpkg has.

Of the package, Flower lies in a virtual environment beside the agent's, with a copy of what the child imports of ours: Flower holds back
libraries that the agent uses too, and must not choose for it. Both must be of one version, to speak alike: the package depends on it, but
dpkg, unlike apt, lets an agent be upgraded alone.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "seawall-agent-learning"


@dataclass(frozen=True, slots=True)
class FlowerPlace:
    """Where it is, or would be.

    Args:
        python: runs the child.
        is_there: says whether Flower is, without importing it: the agent's process never does.
        how_to_install: a command.
    """

    python: str
    is_there: Callable[[], bool]
    how_to_install: str


def flower_place(prefix: Path, installer: str, version: str) -> FlowerPlace:
    """Returns where Flower belongs.

    Args:
        prefix: the agent's virtual environment.
        installer: what has put the agent there, by its metadata: https://packaging.python.org, "Recording installed projects", INSTALLER.
        version: the agent's.
    """
    if installer == "dpkg":
        folder, ours = prefix.with_name(PACKAGE), f"lib/*/site-packages/seawall-{version}.dist-info"
        return FlowerPlace(str(folder / "bin" / "python3"), lambda: any(folder.glob(ours)), f"apt install {PACKAGE}")
    return FlowerPlace(sys.executable, lambda: find_spec("flwr") is not None, "pip install 'seawall[agent,learning]'")


_SEAWALL = distribution("seawall")
HERE = flower_place(Path(sys.prefix), (_SEAWALL.read_text("INSTALLER") or "").strip(), _SEAWALL.version)
