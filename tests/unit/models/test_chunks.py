"""Chunks: all bytes, once, cut so that what has not changed is not sent again."""

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidRequest
from contract.release import MAX_CHUNK_BYTES, Index
from models.chunks import GROUP_BYTES, index_folder, spans, tensor_cuts

KIB = 1024
CUTS = st.lists(st.integers(0, 5 * MAX_CHUNK_BYTES), max_size=40)


@given(size=st.integers(0, 5 * MAX_CHUNK_BYTES), cuts=CUTS)
def test_spans_hold_every_byte_once_in_order_and_none_is_too_long(size: int, cuts: list[int]) -> None:
    found = list(spans(size, cuts))
    assert [begin for begin, _ in found] == [0, *(end for _, end in found)][: len(found)]
    assert (found[-1][1] if found else 0) == size
    assert all(0 < end - begin <= MAX_CHUNK_BYTES for begin, end in found)


@given(sizes=st.lists(st.integers(1, 3 * MAX_CHUNK_BYTES), min_size=1, max_size=20), which=st.integers(0, 19))
def test_no_chunk_holds_a_part_of_a_large_tensor_and_something_else(sizes: list[int], which: int) -> None:
    edges = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    begin, end = list(pairwise(edges))[which % len(sizes)]
    if end - begin <= GROUP_BYTES:
        return
    for start, stop in spans(edges[-1], edges):
        assert stop <= begin or start >= end or (begin <= start and stop <= end)


def test_small_tensors_travel_together() -> None:
    assert list(spans(300 * KIB, range(0, 300 * KIB, KIB))) == [(0, 256 * KIB), (256 * KIB, 300 * KIB)]


def test_an_index_says_what_is_in_the_folder_and_where(tmp_path: Path) -> None:
    contents = {"a.json": b"{}", "empty": b"", "z.bin": hashlib.shake_256(b"z").digest(3 * MAX_CHUNK_BYTES + 5)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    index, places = index_folder(tmp_path, "tiny", "1.0.0")
    assert Index.from_json(index.to_json()) == index
    read = {file.name: b"".join(places[chunk.sha256].read() for chunk in file.chunks) for file in index.files}
    assert read == contents
    assert {file.name: file.sha256 for file in index.files} == {name: hashlib.sha256(text).hexdigest() for name, text in contents.items()}


def test_what_has_not_changed_has_the_same_chunks(tmp_path: Path) -> None:
    """A text that grows, a file that is added: nothing else is sent."""
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
        (folder / "weights").write_bytes(hashlib.shake_256(b"weights").digest(8 * MAX_CHUNK_BYTES))
    (folders[0] / "bundle.json").write_bytes(b"short")
    (folders[1] / "bundle.json").write_bytes(b"much longer")
    (folders[1] / "added").write_bytes(hashlib.shake_256(b"added").digest(4_000_000))
    old, new = (index_folder(folder, "tiny", "1")[0].chunks() for folder in folders)
    assert sum(chunk.size_bytes for digest, chunk in new.items() if digest not in old) == len(b"much longer") + 4_000_000


def test_links_are_not_released(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(InvalidRequest, match="no plain file"):
        index_folder(tmp_path, "tiny", "1.0.0")


@pytest.mark.model
def test_a_models_weights_are_cut_where_tensors_begin() -> None:
    folder = Path("build/models/smollm2-135m-instruct-int8")
    cuts = set(tensor_cuts(folder)["model.onnx.data"])
    index, _ = index_folder(folder, "smollm2-135m-instruct", "1.0.0")
    (weights,) = [file for file in index.files if file.name == "model.onnx.data"]
    ends, offset = [], 0
    for chunk in weights.chunks:
        offset += chunk.size_bytes
        ends.append(offset)
    large = [end for begin, end in zip([0, *ends], ends, strict=False) if end - begin < MAX_CHUNK_BYTES]
    assert len(cuts) > 100
    assert set(large) <= cuts | {weights.size_bytes}
