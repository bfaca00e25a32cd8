import hashlib
from pathlib import Path

import pytest

from contract.bundle import BUNDLE_FILE
from contract.errors import Conflict
from models.bundling import entries, new_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_in_the_middle(target: Path, error: type[BaseException]) -> None:
    with new_folder(target) as folder:
        fill(folder, "new")
        raise error


def fill(folder: Path, text: str) -> None:
    (folder / BUNDLE_FILE).write_text(text)
    (folder / "model.onnx").write_text(text)
    (folder / "model.onnx").chmod(0o600)


def test_the_folder_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    with new_folder(target) as folder:
        fill(folder, "new")
        assert not target.exists()
    assert names(target) == [BUNDLE_FILE, "model.onnx"]
    assert names(target.parent) == ["tiny"]


def test_everybody_may_read_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "tiny") as folder:
        fill(folder, "new")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tiny").iterdir()} == {0o644}
    assert (tmp_path / "tiny").stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
def test_an_error_leaves_nothing_behind_and_what_was_there_alone(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "tiny"
    target.mkdir()
    fill(target, "old")
    with pytest.raises(error):
        fail_in_the_middle(target, error)
    assert names(tmp_path) == ["tiny"]
    assert (target / "model.onnx").read_text() == "old"


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    target.mkdir()
    fill(target, "old")
    (target / "of-old-times").touch()
    with new_folder(target) as folder:
        fill(folder, "new")
    assert names(tmp_path) == ["tiny"]
    assert names(target) == [BUNDLE_FILE, "model.onnx"]
    assert (target / "model.onnx").read_text() == "new"


@pytest.mark.parametrize("what", ["empty folder", "other folder", "file", "link"])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, what: str) -> None:
    target = tmp_path / "precious"
    if what == "file":
        target.write_text("mine")
    elif what == "link":
        target.symlink_to(tmp_path)
    else:
        target.mkdir()
    if what == "other folder":
        (target / "letters.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"precious is there and is no model bundle. Name another place with --out"), new_folder(target):
        raise AssertionError("entered")
    assert names(tmp_path) == ["precious"]


def test_entries_hold_size_and_digest_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"seawall")
    found = entries(tmp_path)
    assert list(found) == ["a", "b"]
    assert (found["b"].size_bytes, found["b"].sha256) == (7, hashlib.sha256(b"seawall").hexdigest())
