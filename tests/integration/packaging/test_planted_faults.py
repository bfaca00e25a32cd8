"""`make check` finds what it is there to find: each planted fault makes its tool fail, on a copy of the tree.

That the tree is clean else, the same command says.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
ROOMS = ("agent", "hub", "contract", "models", "tour", "protos")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    return tmp_path


def check(tree: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / tool), *arguments], cwd=tree, check=False, capture_output=True, text=True, timeout=110)


def plant(tree: Path, text: str) -> None:
    (tree / "agent" / "planted.py").write_text(f'"""Planted."""\n\n{text}')


@pytest.mark.parametrize(
    ("tool", "arguments", "text", "complaint"),
    [
        ("lint-imports", (), "import hub.config\n", "agent.planted -> hub.config"),
        ("ruff", ("check", "."), 'def planted(unused: int) -> int:\n    """Plant."""\n    return 1\n', "ARG001"),
        ("mypy", ("-m", "agent.planted"), 'def planted(value):\n    """Plant."""\n    return value\n', "no-untyped-def"),
    ],
    ids=["an import of the hub into the agent", "an unused argument", "an untyped function"],
)
def test_a_planted_fault_is_found(tree: Path, tool: str, arguments: tuple[str, ...], text: str, complaint: str) -> None:
    plant(tree, text)
    found = check(tree, tool, *arguments)
    assert found.returncode != 0
    assert complaint in found.stdout
