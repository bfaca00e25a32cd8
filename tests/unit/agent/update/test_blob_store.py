from pathlib import Path

import pytest

from agent.update.blob_store import BlobStore, places
from agent.update.slots import Slots
from contract.blobs import pack
from contract.errors import InvalidRequest, Reason
from contract.release import Chunk
from tests.fakes.versions import make_version

ONE, TWO = make_version(1), make_version(2)


def first(version_index: int = 0) -> tuple[Chunk, bytes]:
    chunk = next(iter((ONE, TWO)[version_index].index.chunks().values()))
    return chunk, (ONE, TWO)[version_index].chunks[chunk.sha256]


def test_a_blob_is_found_again_by_another_process(tmp_path: Path) -> None:
    chunk, content = first()
    BlobStore(tmp_path).put(chunk, pack(content))
    assert BlobStore(tmp_path).read(chunk) == content
    assert len(BlobStore(tmp_path).missing(ONE.index)) == len(ONE.chunks) - 1


def test_what_is_not_the_chunk_is_not_kept(tmp_path: Path) -> None:
    chunk, _ = first()
    with pytest.raises(InvalidRequest) as refused:
        BlobStore(tmp_path).put(chunk, pack(b"something else"))
    assert refused.value.reason is Reason.RELEASE_INVALID
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("torn", [b"", b"\x00", b"\x01\x28", b"\x00" + bytes(2_000_000)])
def test_a_torn_blob_is_fetched_again(tmp_path: Path, torn: bytes) -> None:
    chunk, content = first()
    store = BlobStore(tmp_path)
    store.put(chunk, pack(content))
    store.path(chunk.sha256).write_bytes(torn)
    assert chunk in store.missing(ONE.index)
    with pytest.raises(InvalidRequest):
        store.read(chunk)
    store.put(chunk, pack(content))
    assert store.read(chunk) == content


def test_what_a_slot_holds_is_not_missing_unless_it_is_damaged(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    slots.stage(ONE.index_json, ONE.read)
    bundle = slots.switch()
    store = BlobStore(tmp_path / "blobs", [places(bundle, ONE.index)])
    alike = set(ONE.chunks) & set(TWO.chunks)
    assert {chunk.sha256 for chunk in store.missing(TWO.index)} == set(TWO.chunks) - alike
    assert store.missing(ONE.index) == ()
    data = bundle / "model.onnx.data"
    data.write_bytes(b"!" + data.read_bytes()[1:])
    assert len(store.missing(ONE.index)) == 1


def test_a_bundle_without_an_index_gives_what_lies_at_the_same_place(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots")
    slots.stage(ONE.index_json, ONE.read)
    store = BlobStore(tmp_path / "blobs", [places(slots.switch(), TWO.index)])
    assert {chunk.sha256 for chunk in store.missing(TWO.index)} == set(TWO.chunks) - set(ONE.chunks)
