import json
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inference.loading import load_bundle
from contract.bundle import BUNDLE_FILE, Bundle, Shape, Source
from contract.errors import InvalidRequest, Reason
from models.bundling import entries

FILES = {"model.onnx": b"graph" * 50, "model.onnx.data": bytes(range(256)) * 4, "tokenizer.json": b"{}"}

Head = MutableMapping[str, Any]


def write_bundle(folder: Path) -> Bundle:
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / BUNDLE_FILE).unlink(missing_ok=True)
    source = Source(kind="python-package", name="tiny-model", version="1.0", sha256="0" * 64)
    shape = Shape(layers=2, kv_heads=2, head_dim=16, vocabulary=300, context_tokens=64)
    bundle = Bundle("tiny", "1", "int8", "MIT", source, shape, "{{ messages }}", (2,), entries(folder))
    (folder / BUNDLE_FILE).write_bytes(bundle.to_json())
    return bundle


def assert_refused(folder: Path, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        load_bundle(folder)
    assert caught.value.reason is Reason.BUNDLE_INVALID
    assert "Build" in caught.value.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="module")
def reused_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For properties, which write it anew themselves."""
    return tmp_path_factory.mktemp("bundles") / "tiny"


def test_a_whole_bundle_is_loaded(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "tiny")
    assert load_bundle(tmp_path / "tiny") == written


def test_a_link_to_a_bundle_is_loaded(folder: Path) -> None:
    link = folder.with_name("current")
    link.symlink_to(folder)
    assert load_bundle(link) == load_bundle(folder)


@given(name=st.sampled_from(sorted(FILES)), position=st.integers(0, 2**31), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(reused_folder: Path, name: str, position: int, bit: int) -> None:
    write_bundle(reused_folder)
    content = bytearray(FILES[name])
    content[position % len(content)] ^= 1 << bit
    (reused_folder / name).write_bytes(content)
    assert_refused(reused_folder, f"{name} is damaged")


@given(name=st.sampled_from(sorted(FILES)), size=st.integers(0, 2000).filter(lambda size: size not in map(len, FILES.values())))
def test_a_file_of_another_length_is_found(reused_folder: Path, name: str, size: int) -> None:
    write_bundle(reused_folder)
    os.truncate(reused_folder / name, size)
    assert_refused(reused_folder, f"{name} has {size} bytes instead of {len(FILES[name])}")


@given(size=st.integers(0, 600))
def test_a_cut_head_is_refused(reused_folder: Path, size: int) -> None:
    write_bundle(reused_folder)
    os.truncate(reused_folder / BUNDLE_FILE, size)
    assert_refused(reused_folder, "cannot be read")


@given(content=st.binary(max_size=300))
def test_a_head_of_any_bytes_is_refused(reused_folder: Path, content: bytes) -> None:
    write_bundle(reused_folder)
    (reused_folder / BUNDLE_FILE).write_bytes(content)
    assert_refused(reused_folder, "cannot be read")


@pytest.mark.parametrize("name", [*FILES, BUNDLE_FILE])
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert_refused(folder, name)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_a_file_too_many_is_found(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "notes.txt")
    assert_refused(folder, "'notes.txt' does not belong to it")


@pytest.mark.parametrize("name", [*FILES, BUNDLE_FILE])
def test_a_link_to_the_right_bytes_is_refused(folder: Path, name: str) -> None:
    elsewhere = (folder / name).rename(folder.with_name("elsewhere"))
    (folder / name).symlink_to(elsewhere)
    assert_refused(folder, f"{name} is no regular file")


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    assert_refused(folder, "model.onnx is no regular file")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "..", ".hidden", "", "a\x00b", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_bytes(b"")
    head: Head = json.loads((folder / BUNDLE_FILE).read_text())
    head["files"][name] = {"sha256": "0" * 64, "size_bytes": 0}
    (folder / BUNDLE_FILE).write_text(json.dumps(head))
    assert_refused(folder, "file name .* is not allowed")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_head_that_forgets_what_every_bundle_has_is_refused(folder: Path, name: str) -> None:
    head: Head = json.loads((folder / BUNDLE_FILE).read_text())
    del head["files"][name]
    (folder / BUNDLE_FILE).write_text(json.dumps(head))
    (folder / name).unlink()
    assert_refused(folder, f"names no {name}")


def test_a_head_of_megabytes_is_not_read(folder: Path) -> None:
    os.truncate(folder / BUNDLE_FILE, 1 << 21)
    assert_refused(folder, "has 2097152 bytes, at most 1048576 are read")


@pytest.mark.parametrize("place", ["nowhere", "tiny/model.onnx"])
def test_a_place_without_a_bundle_is_refused(folder: Path, place: str) -> None:
    assert_refused(folder.parent / place, "cannot be used")


def test_without_verification_the_head_alone_is_read(folder: Path) -> None:
    whole = load_bundle(folder)
    (folder / "model.onnx").unlink()
    assert load_bundle(folder, verify=False) == whole
