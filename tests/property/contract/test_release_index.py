"""An index against any input: it is read as it was written, or refused."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.blobs import MAX_STORED_BYTES, pack, unpack
from contract.errors import InvalidRequest, Reason
from contract.release import FORMAT_VERSION, Chunk, Index, IndexFile

names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
contents = st.dictionaries(names, st.lists(st.binary(min_size=1, max_size=40), max_size=4), min_size=1, max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


def index_of(files: dict[str, list[bytes]]) -> Index:
    listed = []
    for name, pieces in sorted(files.items()):
        whole = b"".join(pieces)
        chunks = tuple(Chunk(hashlib.sha256(piece).hexdigest(), len(piece)) for piece in pieces)
        listed.append(IndexFile(name, hashlib.sha256(whole).hexdigest(), len(whole), chunks))
    return Index(FORMAT_VERSION, "tiny", "1.0", tuple(listed))


def read(text: bytes) -> Index | None:
    try:
        return Index.from_json(text)
    except InvalidRequest:
        return None


@given(contents)
def test_an_index_is_read_as_it_was_written(files: dict[str, list[bytes]]) -> None:
    index = index_of(files)
    assert read(index.to_json()) == index


@given(contents, st.sampled_from(["format_version", "model", "version", "files"]), json_values)
def test_a_changed_field_is_refused_or_read_as_what_it_says(files: dict[str, list[bytes]], field: str, value: Any) -> None:
    changed = json.loads(index_of(files).to_json()) | {field: value}
    index = read(json.dumps(changed).encode())
    assert index is None or json.loads(index.to_json()) == changed


@given(contents, st.integers(1, 5))
def test_files_larger_or_smaller_than_their_chunks_are_refused(files: dict[str, list[bytes]], more: int) -> None:
    content = json.loads(index_of(files).to_json())
    content["files"][0]["size_bytes"] += more
    assert read(json.dumps(content).encode()) is None


@given(contents, st.sampled_from(["../x", "/x", "a/b", "", ".", "..", ".hidden", "a\0", "a\n"]))
def test_a_name_that_would_leave_its_folder_is_refused(files: dict[str, list[bytes]], name: str) -> None:
    content = json.loads(index_of(files).to_json())
    content["files"][0]["name"] = name
    assert read(json.dumps(content).encode()) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(text: bytes) -> None:
    index = read(text)
    assert index is None or read(index.to_json()) == index


@given(st.binary(max_size=5000) | st.binary(min_size=1, max_size=4).map(lambda piece: piece * 2000))
def test_a_blob_holds_its_chunk_and_is_never_longer(content: bytes) -> None:
    stored = pack(content)
    assert unpack(stored, hashlib.sha256(content).hexdigest()) == content
    assert len(stored) <= len(content) + 1 <= MAX_STORED_BYTES


@given(st.binary(max_size=300))
def test_a_blob_that_is_another_is_refused(stored: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        unpack(stored, "0" * 64)
    assert caught.value.reason is Reason.RELEASE_INVALID
