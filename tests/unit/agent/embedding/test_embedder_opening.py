"""An embedder that cannot be loaded says why, and stops nobody."""

import shutil
from pathlib import Path

import pytest

from agent.embedding.embedder import MODEL, TOKENIZER, WEIGHTS, Embedder
from agent.embedding.opening import open_embedder
from agent.inference.shipped import DIGESTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the weights."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))


def test_the_shipped_weights_can_be_used_and_are_named_by_their_digest() -> None:
    opened = open_embedder()
    assert opened.problem == ""
    assert opened.embedder is not None
    assert f"{opened.embedder.digest}  {MODEL}" in (WEIGHTS / DIGESTS).read_text().splitlines()


@pytest.mark.parametrize("name", [MODEL, TOKENIZER, DIGESTS])
def test_without_one_of_its_files_there_is_none(folder: Path, name: str) -> None:
    (folder / name).unlink()
    opened = open_embedder(lambda: Embedder(folder))
    assert opened.embedder is None
    assert "Install seawall-agent anew" in opened.problem


@pytest.mark.parametrize("name", [MODEL, TOKENIZER])
def test_one_changed_byte_of_its_files_is_damage(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    opened = open_embedder(lambda: Embedder(folder))
    assert opened.embedder is None
    assert "is damaged: questions are not compared" in opened.problem


def test_whatever_else_breaks_is_told_by_its_kind_alone() -> None:
    def broken() -> Embedder:
        raise MemoryError("at 0x1234")

    opened = open_embedder(broken)
    assert opened.embedder is None
    assert "MemoryError" in opened.problem
    assert "0x1234" not in opened.problem
