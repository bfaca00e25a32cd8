"""Keeping what came: many blobs at a time, the good behind a bad one too, and never more waiting than a batch."""

import asyncio
import hashlib
import random
import threading
from pathlib import Path

import pytest

from agent.update.chunk_folder import ChunkFolder
from agent.update.settling import BATCH_BYTES, Blob, Settler
from contract.blobs import PLAIN, pack
from contract.errors import InvalidRequest, NotPossibleNow, Reason, Unavailable
from contract.release import Chunk

NOISE = random.Random(11)
CONTENTS = [NOISE.randbytes(1 << 20) for _ in range(9)]
CHUNKS = [Chunk(hashlib.sha256(content).hexdigest(), len(content)) for content in CONTENTS]
BATCH = -(-BATCH_BYTES // (1 << 20))
"""So many of them are a batch."""

TEXT = b"the same line\n" * 10_000
TEXT_CHUNK = Chunk(hashlib.sha256(TEXT).hexdigest(), len(TEXT))


class Folder(ChunkFolder):
    """Takes a chunk only when it is told to, and remembers in which thread."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, spare_bytes=0)
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.full = False
        self.threads: list[int] = []

    def keep(self, chunk: Chunk, content: bytes | memoryview) -> None:
        assert self.goes_on.wait(30)
        self.threads.append(threading.get_ident())
        if self.full:
            raise NotPossibleNow(Reason.DISK_FULL, "full")
        super().keep(chunk, content)


class Kept:
    """A settler, and what it said is kept."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.chunks: list[Chunk] = []
        self.settler = Settler(self.folder, "the source", self.chunks.append)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def blob(number: int, *, bad: bool = False, resumed: bool = False) -> Blob:
    return Blob(CHUNKS[number], PLAIN + (bytes(len(CONTENTS[number])) if bad else CONTENTS[number]), resumed)


async def test_what_came_packed_and_what_came_as_it_is_are_kept_alike(kept: Kept) -> None:
    stored = pack(TEXT)
    assert len(stored) < len(TEXT)
    await kept.settler.put(Blob(TEXT_CHUNK, stored, resumed=False))
    await kept.settler.put(Blob(CHUNKS[0], memoryview(b"head" + PLAIN + CONTENTS[0])[4:], resumed=False))
    await kept.settler.put(Blob(CHUNKS[1], bytearray(PLAIN + CONTENTS[1]), resumed=True))
    await kept.settler.finish()
    assert [kept.folder.find(chunk) for chunk in (TEXT_CHUNK, CHUNKS[0], CHUNKS[1])] == [TEXT, *CONTENTS[:2]]
    assert kept.chunks == [TEXT_CHUNK, CHUNKS[0], CHUNKS[1]]


async def test_a_batch_is_kept_in_one_thread_and_not_in_the_loops(kept: Kept) -> None:
    for number in range(BATCH - 1):
        await kept.settler.put(blob(number))
    await asyncio.sleep(0)
    assert kept.folder.threads == [], "less than a batch came"
    await kept.settler.put(blob(BATCH - 1))
    await kept.settler.finish()
    assert len(kept.folder.threads) == BATCH
    assert len(set(kept.folder.threads)) == 1
    assert threading.get_ident() not in kept.folder.threads


async def test_no_more_than_a_batch_waits_behind_the_one_that_is_looked_at(kept: Kept) -> None:
    kept.folder.goes_on.clear()
    for number in range(2 * BATCH - 1):
        await kept.settler.put(blob(number))
    assert kept.chunks == []
    threading.Timer(0.05, kept.folder.goes_on.set).start()
    await kept.settler.put(blob(2 * BATCH - 1))
    assert kept.chunks == CHUNKS[:BATCH], "it waited for the first batch"
    await kept.settler.finish()
    assert kept.chunks == CHUNKS[: 2 * BATCH]


async def test_what_waits_is_kept_when_it_is_asked_for(kept: Kept) -> None:
    await kept.settler.put(blob(0))
    await kept.settler.settle()
    assert kept.folder.find(CHUNKS[0]) == CONTENTS[0]
    assert kept.chunks == CHUNKS[:1]


async def test_the_good_behind_a_bad_one_is_kept_and_the_bad_one_is_said_once(kept: Kept) -> None:
    kept.folder.keep_part(CHUNKS[0], b"begun")
    await kept.settler.put(blob(0, bad=True))
    await kept.settler.put(blob(1))
    with pytest.raises(InvalidRequest) as caught:
        await kept.settler.finish()
    assert caught.value.reason is Reason.RELEASE_INVALID
    assert kept.chunks == [CHUNKS[1]]
    assert kept.folder.find(CHUNKS[0]) is None
    assert kept.folder.part(CHUNKS[0]) == b""
    await kept.settler.put(blob(0))
    await kept.settler.finish()
    assert kept.chunks == [CHUNKS[1], CHUNKS[0]]


async def test_a_bad_one_is_said_to_who_brings_the_next_batch(kept: Kept) -> None:
    await kept.settler.put(blob(0, bad=True))
    await kept.settler.settle()
    for number in range(1, BATCH):
        await kept.settler.put(blob(number))
    with pytest.raises(InvalidRequest):
        await kept.settler.put(blob(BATCH))
    await kept.settler.finish()
    assert kept.chunks == CHUNKS[1 : BATCH + 1]


async def test_what_was_gone_on_with_and_does_not_fit_is_not_held_against_the_source(kept: Kept) -> None:
    await kept.settler.put(blob(0, bad=True, resumed=True))
    with pytest.raises(Unavailable, match="does not go on where it was cut off"):
        await kept.settler.finish()


async def test_a_full_disk_is_said(kept: Kept) -> None:
    kept.folder.full = True
    await kept.settler.put(blob(0))
    with pytest.raises(NotPossibleNow) as caught:
        await kept.settler.finish()
    assert caught.value.reason is Reason.DISK_FULL
    assert kept.chunks == []
