"""What was fetched lies on the disk for good, whatever the disk does."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.update.chunk_folder import PACK, ChunkFolder
from agent.update.sources import away
from contract.errors import NotPossibleNow, Reason, Unavailable
from contract.pieces import Piece
from contract.release import Chunk
from tests.fakes.fetching_device import FIRST, INDEX, REPOSITORY, WEIGHTS, BadSource, Site, source, whole
from tests.fakes.tuf_repository import FakeSource


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes that were synced; syncing goes on as it does."""
    really, inodes = os.fsync, set[int]()

    def fsync(descriptor: int) -> None:
        really(descriptor)
        inodes.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def damage(site: Site, chunk: Chunk) -> None:
    """As a power cut leaves a chunk: its end is zeros."""
    pack = site.folder / PACK
    content, begin = pack.read_bytes(), (site.chunks.find(chunk) or b"?")[:4096]
    place = content.index(begin)
    pack.write_bytes(content[: place + 4096] + bytes(chunk.size_bytes - 4096) + content[place + chunk.size_bytes :])


async def test_a_damaged_chunk_is_fetched_again(site: Site) -> None:
    await site.fetch(source())
    damage(site, FIRST)
    again = source()
    await site.fetch(again)
    assert again.asked == [FIRST.sha256]
    assert site.files() == whole()


async def test_a_torn_part_is_not_held_against_the_source(site: Site) -> None:
    site.settings = replace(site.settings, bad_chunks=1)
    site.chunks.keep_part(FIRST, b"\0" * 100_000)
    await site.fetch(source())
    assert site.files() == whole()


async def test_a_part_longer_than_the_blob_is_dropped(site: Site) -> None:
    site.chunks.keep_part(FIRST, bytes(FIRST.size_bytes + 1))
    await site.fetch(source())
    assert site.files() == whole()


async def test_space_is_looked_at_before(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    asked = source()
    with pytest.raises(NotPossibleNow, match="make 3 MB free") as caught:
        await site.fetch(asked)
    assert caught.value.reason is Reason.DISK_FULL
    assert asked.asked == []


@pytest.mark.parametrize("call", ["fsync", "pwrite", "open"])
@pytest.mark.parametrize(
    ("number", "what_to_do"), [(errno.ENOSPC, "make room"), (errno.EROFS, "let it be written to")], ids=["full", "read-only"]
)
async def test_a_disk_that_takes_nothing_is_said_and_not_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, call: str, number: int, what_to_do: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(NotPossibleNow, match=what_to_do) as caught:
        await site.fetch(source())
    assert caught.value.reason is Reason.DISK_FULL
    assert site.waits.seconds == []


async def test_everything_is_synced_when_it_is_said_to_be_here(site: Site, synced: set[int]) -> None:
    await site.fetch(source())
    assert {path.stat().st_ino for path in (site.folder, *site.folder.iterdir())} <= synced


async def test_what_came_is_synced_where_the_source_goes_away(site: Site, synced: set[int]) -> None:
    last = INDEX.files[1].chunks[3].sha256
    with pytest.raises(Unavailable):
        await site.fetch(BadSource(lambda piece: away("it", "gone") if piece.digest == last else piece))
    assert site.chunks.find(FIRST) is not None
    assert {path.stat().st_ino for path in site.folder.iterdir()} <= synced


async def test_a_whole_chunk_is_synced_though_no_other_comes_behind_it(site: Site, synced: set[int]) -> None:
    came = asyncio.Event()

    class Stalled(FakeSource):
        async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
            async for piece in super().blobs(digests[:1], first_offset):
                yield piece
            await came.wait()

    fetching = asyncio.create_task(site.fetch(Stalled(REPOSITORY)))
    first = next(iter(INDEX.chunks().values()))
    while not (site.folder / PACK).exists() or (site.folder / PACK).stat().st_ino not in synced:  # noqa: ASYNC110  # a disk has no event
        await asyncio.sleep(0.01)
    assert ChunkFolder(site.folder).find(first) is not None
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)


async def test_a_chunk_that_a_power_cut_tore_is_fetched_again(site: Site) -> None:
    site.chunks.keep(FIRST, WEIGHTS[0])
    damage(site, FIRST)
    honest = source()
    await site.fetch(honest)
    assert FIRST.sha256 in honest.asked
    assert site.files() == whole()


def test_a_part_is_forgotten_only_when_its_chunk_is_on_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    site.chunks.keep_part(FIRST, b"begun")
    site.chunks.keep(FIRST, WEIGHTS[0])
    assert site.chunks.part(FIRST) == b"begun"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(NotPossibleNow):
            site.chunks.sync()
    assert site.chunks.find(FIRST) is None
    assert site.chunks.part(FIRST) == b"begun"
    site.chunks.keep(FIRST, WEIGHTS[0])
    site.chunks.sync()
    assert site.chunks.find(FIRST) == WEIGHTS[0]
    assert site.chunks.part(FIRST) == b""
