"""Where Flower is on this device: beside the agent where pip has installed both, in a package of its own where dpkg has.

Of the package, Flower lies in a virtual environment beside the agent's, with a copy of what the child imports of ours: Flower holds back
libraries that the agent uses too, and must not choose for it. The package depends on the agent of its own version, so both speak alike.
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


def flower_place(prefix: Path, installer: str) -> FlowerPlace:
    """Returns where Flower belongs.

    Args:
        prefix: the agent's virtual environment.
        installer: what has put the agent there, by its metadata: https://packaging.python.org, "Recording installed projects", INSTALLER.
    """
    if installer == "dpkg":
        python = prefix.with_name(PACKAGE) / "bin" / "python3"
        return FlowerPlace(str(python), python.exists, f"apt install {PACKAGE}")
    return FlowerPlace(sys.executable, lambda: find_spec("flwr") is not None, "pip install 'seawall[agent,learning]'")


HERE = flower_place(Path(sys.prefix), (distribution("seawall").read_text("INSTALLER") or "").strip())
