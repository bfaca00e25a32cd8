"""Chunks in one file: what stays of it when a process or the power goes, and when the disk does not take it."""

import errno
import os
import random
from hashlib import sha256
from pathlib import Path

import pytest

from agent.update.pack_file import PackFile

NOISE = random.Random(11)
CHUNKS = {sha256(content).hexdigest(): content for content in (NOISE.randbytes(size) for size in (1, 70_000, 1_048_576, 300))}
FIRST, BIG, *_, LAST = CHUNKS
HEAD_BYTES = 36


def filled(path: Path) -> PackFile:
    pack = PackFile(path)
    for digest, content in CHUNKS.items():
        pack.append(digest, content)
    return pack


def found(pack: PackFile) -> dict[str, bytes | None]:
    return {digest: content for digest in CHUNKS if (content := pack.read(digest)) is not None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pack"


def broken(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_what_was_appended_is_read_also_by_the_next_process(path: Path) -> None:
    assert found(PackFile(path)) == {}
    assert found(filled(path)) == CHUNKS
    again = PackFile(path)
    assert found(again) == CHUNKS
    assert path.stat().st_size == sum(HEAD_BYTES + len(content) for content in CHUNKS.values())


def test_each_chunk_is_told_once_when_it_is_synced_and_what_an_earlier_process_left_too(path: Path) -> None:
    pack = filled(path)
    assert pack.sync() == list(CHUNKS)
    assert pack.sync() == []
    assert PackFile(path).sync() == list(CHUNKS)


@pytest.mark.parametrize("kept_bytes", [0, 20, HEAD_BYTES, HEAD_BYTES + 299])
def test_an_end_that_was_cut_off_costs_what_was_in_it_and_is_written_over(path: Path, kept_bytes: int) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size - HEAD_BYTES - 300 + kept_bytes)
    pack = PackFile(path)
    assert found(pack) == {digest: content for digest, content in CHUNKS.items() if digest != LAST}
    pack.append(LAST, CHUNKS[LAST])
    assert found(pack) == found(PackFile(path)) == CHUNKS


def test_an_end_of_zeros_is_no_chunk(path: Path) -> None:
    filled(path)
    whole_bytes = path.stat().st_size
    os.truncate(path, whole_bytes + 5_000)
    pack = PackFile(path)
    assert found(pack) == CHUNKS
    pack.append(FIRST, CHUNKS[FIRST])
    assert found(PackFile(path)) == CHUNKS


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_file_holds_it_is_opened_and_appended_to(path: Path, seed: int) -> None:
    path.write_bytes(random.Random(seed).randbytes(seed * 50))
    pack = PackFile(path)
    pack.append(FIRST, CHUNKS[FIRST])
    assert pack.read(FIRST) == PackFile(path).read(FIRST) == CHUNKS[FIRST]


def test_a_chunk_that_was_damaged_is_appended_again(path: Path) -> None:
    pack = filled(path)
    with path.open("r+b") as file:
        file.seek(HEAD_BYTES)
        file.write(b"?")
    pack.append(FIRST, CHUNKS[FIRST])
    assert pack.read(FIRST) == PackFile(path).read(FIRST) == CHUNKS[FIRST]


def test_a_chunk_that_does_not_fit_leaves_nothing_and_what_was_there_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.pwrite

    def full(file: int, content: memoryview, offset: int) -> int:
        if offset >= whole_bytes + 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(file, content[:20_000], offset)

    pack = PackFile(path)
    pack.append(LAST, CHUNKS[LAST])
    whole_bytes = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            pack.append(BIG, CHUNKS[BIG])
    assert path.stat().st_size == whole_bytes
    assert found(pack) == found(PackFile(path)) == {LAST: CHUNKS[LAST]}


def test_what_a_short_write_leaves_is_written_after_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, offset: really(file, content[:1000], offset))
    assert found(filled(path)) == CHUNKS


def test_what_could_not_be_synced_is_gone_and_what_was_synced_before_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = PackFile(path)
    pack.append(FIRST, CHUNKS[FIRST])
    pack.sync()
    pack.append(LAST, CHUNKS[LAST])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            pack.sync()
    assert found(pack) == {FIRST: CHUNKS[FIRST]}
    pack.append(LAST, CHUNKS[LAST])
    assert pack.sync() == [LAST]
    assert found(PackFile(path)) == {FIRST: CHUNKS[FIRST], LAST: CHUNKS[LAST]}


def test_what_comes_after_the_clearing_is_kept(path: Path) -> None:
    pack = filled(path)
    pack.sync()
    pack.clear()
    assert found(pack) == {}
    assert not path.exists()
    pack.append(LAST, CHUNKS[LAST])
    assert found(PackFile(path)) == {LAST: CHUNKS[LAST]}
