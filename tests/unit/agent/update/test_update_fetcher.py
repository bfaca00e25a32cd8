"""Bringing chunks here: what is fetched, what is kept, and how bad sources end."""

import asyncio
import errno
import os
import random
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from agent.update.chunk_folder import PACK, ChunkFolder, HeldFiles
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.pacing import Hours, Pace, PaceSettings
from agent.update.progress import Progress
from agent.update.sources import away
from contract.blobs import ZSTD
from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason, SeawallError, Unavailable
from contract.pieces import Piece
from contract.release import Chunk, Index
from tests.fakes.tuf_repository import FakeRepository, FakeSource, version_of

NOISE = random.Random(7)
WEIGHTS = [NOISE.randbytes(size) for size in (700_000, 1_048_576, 300, 900_000, 65_536)]
TEXT = [b"the same line\n" * 10_000]
INDEX, BLOBS = version_of({"model.onnx.data": WEIGHTS, "tokenizer.json": TEXT, "empty": []})
FIRST = INDEX.files[1].chunks[0]


class Waits:
    """Sleep that takes no time and is remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.then: Callable[[], None] = lambda: None

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.then()
        await asyncio.sleep(0)


class Site:
    """A device that fetches."""

    def __init__(self, folder: Path) -> None:
        self.chunks = ChunkFolder(folder / "chunks", spare_bytes=0)
        self.folder = folder / "chunks"
        self.waits = Waits()
        self.moment = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
        self.pace = PaceSettings()
        self.settings = FetchSettings(streams=1, attempts=4)
        self.told: list[Progress] = []

    async def fetch(self, source: FakeSource, index: Index = INDEX, held: Sequence[HeldFiles] = ()) -> None:
        pace = Pace(self.pace, lambda: self.moment, clock=lambda: 0.0, sleep=self.waits)
        fetcher = Fetcher(self.chunks, pace, random.Random(1), self.settings, sleep=self.waits)
        await fetcher.fetch(index, source, held, self.told.append)

    def files(self) -> dict[str, bytes]:
        return {file.name: b"".join(self.chunks.find(chunk) or b"?" for chunk in file.chunks) for file in INDEX.files}


class BadSource(FakeSource):
    """Sends pieces as a test bends them."""

    def __init__(self, bend: Callable[[Piece], Piece | SeawallError], blobs: dict[str, bytes] = BLOBS) -> None:
        super().__init__(FakeRepository())
        self.repository.blobs = dict(blobs)
        self.bend = bend

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        async for piece in super().blobs(digests, first_offset):
            bent = self.bend(piece)
            if isinstance(bent, SeawallError):
                raise bent
            yield bent


REPOSITORY = FakeRepository()
REPOSITORY.blobs = BLOBS


def source() -> FakeSource:
    return FakeSource(REPOSITORY)


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


def whole() -> dict[str, bytes]:
    return {"empty": b"", "model.onnx.data": b"".join(WEIGHTS), "tokenizer.json": b"".join(TEXT)}


@pytest.mark.parametrize("streams", [1, 3])
async def test_everything_comes_and_nothing_twice(site: Site, streams: int) -> None:
    site.settings = replace(site.settings, streams=streams, batch=2)
    honest = source()
    await site.fetch(honest)
    assert site.files() == whole()
    assert sorted(honest.asked) == sorted(INDEX.chunks())
    assert honest.sent_bytes == sum(map(len, BLOBS.values())) < INDEX.size_bytes()


async def test_what_is_here_is_not_fetched_again(site: Site) -> None:
    await site.fetch(source())
    again = source()
    await site.fetch(again)
    assert again.asked == []


async def test_what_an_installed_version_has_is_not_fetched(site: Site, tmp_path: Path) -> None:
    installed, _ = version_of({"model.onnx.data": WEIGHTS[:4]}, "0.9.0")
    (tmp_path / "slot").mkdir()
    (tmp_path / "slot" / "model.onnx.data").write_bytes(b"".join(WEIGHTS[:4]))
    asked = source()
    await site.fetch(asked, held=[HeldFiles(tmp_path / "slot", installed)])
    assert asked.asked == [INDEX.files[1].chunks[4].sha256, INDEX.files[2].chunks[0].sha256]


async def test_what_an_installed_version_has_damaged_is_fetched(site: Site, tmp_path: Path) -> None:
    installed, _ = version_of({"model.onnx.data": WEIGHTS}, "0.9.0")
    (tmp_path / "slot").mkdir()
    damaged = bytearray(b"".join(WEIGHTS))
    damaged[0] ^= 1
    (tmp_path / "slot" / "model.onnx.data").write_bytes(damaged)
    asked = source()
    await site.fetch(asked, held=[HeldFiles(tmp_path / "slot", installed)])
    assert FIRST.sha256 in asked.asked


async def test_a_damaged_chunk_is_fetched_again(site: Site) -> None:
    await site.fetch(source())
    damage(site, FIRST)
    again = source()
    await site.fetch(again)
    assert again.asked == [FIRST.sha256]
    assert site.files() == whole()


async def test_a_stream_that_is_cut_goes_on_at_the_byte(site: Site) -> None:
    cuts = iter([False, False, True] * 4 + [False] * 100)
    cut = BadSource(lambda piece: away("the source", "cut") if next(cuts) else piece)
    await site.fetch(cut)
    assert site.files() == whole()
    received = site.told[-1].received_bytes
    assert received == sum(map(len, BLOBS.values()))


async def test_a_download_that_was_stopped_goes_on_at_the_byte(site: Site) -> None:
    pieces = iter(range(4))
    stopped = BadSource(lambda piece: piece if next(pieces, None) is not None else _stop())
    with suppress(asyncio.CancelledError):
        await site.fetch(stopped)
    rest = source()
    await site.fetch(rest)
    assert site.files() == whole()
    assert rest.sent_bytes == sum(map(len, BLOBS.values())) - 4 * 262_144 + (3 * 262_144 - len(BLOBS[FIRST.sha256]))


def _stop() -> Piece:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda piece: replace(piece, data=b""), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, data=bytes(len(piece.data))), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, data=piece.data + b"more" * 300_000), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, offset=piece.offset + 1), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, digest="0" * 64), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, stored_size_bytes=1 << 40), Reason.RELEASE_INVALID),
        (lambda piece: replace(piece, stored_size_bytes=0), Reason.RELEASE_INVALID),
        (lambda _: away("the source", "gone"), Reason.RELEASE_UNAVAILABLE),
    ],
    ids=["empty", "changed", "oversized", "elsewhere", "swapped", "endless", "sizeless", "gone"],
)
async def test_a_bad_source_ends_in_a_refusal_after_some_attempts(
    site: Site, bend: Callable[[Piece], Piece | SeawallError], reason: Reason
) -> None:
    with pytest.raises((InvalidRequest, Unavailable)) as caught:
        await site.fetch(BadSource(bend))
    assert caught.value.reason is reason
    assert 1 <= len(site.waits.seconds) < site.settings.attempts
    assert list(site.folder.iterdir()) == []


async def test_another_chunks_blob_under_a_chunks_name_is_refused(site: Site) -> None:
    other = BLOBS[INDEX.files[1].chunks[3].sha256]
    with pytest.raises(InvalidRequest) as caught:
        await site.fetch(BadSource(lambda piece: piece, BLOBS | {INDEX.files[1].chunks[1].sha256: other}))
    assert caught.value.reason is Reason.RELEASE_INVALID
    assert site.chunks.find(FIRST) == WEIGHTS[0], "what was right stays"
    assert site.chunks.find(INDEX.files[1].chunks[1]) is None


class ShortSource(FakeSource):
    """Ends each stream after so many pieces, as if that were all."""

    most = 1

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        left = self.most
        async for piece in super().blobs(digests, first_offset):
            if left == 0:
                return
            left -= 1
            yield piece


async def test_a_stream_that_ends_too_early_is_gone_on_with(site: Site) -> None:
    short = ShortSource(REPOSITORY)
    await site.fetch(short)
    assert site.files() == whole()
    assert site.told[-1].received_bytes == sum(map(len, BLOBS.values()))


async def test_a_stream_that_brings_nothing_ends_the_download(site: Site) -> None:
    short = ShortSource(REPOSITORY)
    short.most = 0
    with pytest.raises(Unavailable, match="ended too early"):
        await site.fetch(short)
    assert len(site.waits.seconds) == site.settings.attempts - 1


async def test_a_stream_without_end_is_left_when_everything_is_here(site: Site) -> None:
    ended: list[bool] = []

    class Endless(FakeSource):
        async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
            try:
                async for piece in super().blobs(digests, first_offset):
                    yield piece
                while True:
                    yield Piece(digests[0], 0, 10, b"more")
            finally:
                ended.append(True)

    await site.fetch(Endless(REPOSITORY))
    assert site.files() == whole()
    assert ended == [True]


async def test_one_bad_answer_is_got_over(site: Site) -> None:
    bad = iter([True] + [False] * 100)
    await site.fetch(BadSource(lambda piece: replace(piece, data=bytes(len(piece.data))) if next(bad) else piece))
    assert site.files() == whole()


async def test_delays_grow(site: Site) -> None:
    site.settings = replace(site.settings, attempts=6)
    with pytest.raises(Unavailable):
        await site.fetch(BadSource(lambda _: away("the source", "gone")))
    assert site.waits.seconds == sorted(site.waits.seconds)
    assert site.waits.seconds[-1] > 4 * site.waits.seconds[0]


async def test_a_blob_that_unpacks_without_end_is_refused(site: Site) -> None:
    bomb = ZSTD + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 30))
    with pytest.raises(InvalidRequest):
        await site.fetch(BadSource(lambda piece: piece, BLOBS | {FIRST.sha256: bomb}))


async def test_a_stream_that_trickles_is_given_up(site: Site) -> None:
    class Trickle(FakeSource):
        async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
            stored = BLOBS[digests[0]]
            for offset in range(first_offset, len(stored)):
                await asyncio.sleep(0.02)
                yield Piece(digests[0], offset, len(stored), stored[offset : offset + 1])

    site.settings = replace(site.settings, patience_seconds=0.1, attempts=1)
    with pytest.raises(Unavailable, match="less than 16 KiB"):
        await site.fetch(Trickle(REPOSITORY))


async def test_a_chunk_that_nobody_has_is_said_at_once(site: Site) -> None:
    with pytest.raises(NotFound):
        await site.fetch(BadSource(lambda piece: piece, {}))
    assert site.waits.seconds == []


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


async def test_outside_its_hours_nothing_is_fetched(site: Site) -> None:
    site.pace = PaceSettings(hours=Hours.parse("22:00-05:00"))
    asked = source()
    asked_before: list[int] = []

    def night() -> None:
        asked_before.append(len(asked.asked))
        site.moment = site.moment.replace(hour=23)

    site.waits.then = night
    await site.fetch(asked)
    assert asked_before == [0]
    assert "outside its hours" in {told.waiting for told in site.told}
    assert site.files() == whole()


async def test_a_link_that_begins_to_cost_stops_the_download(site: Site, tmp_path: Path) -> None:
    flag = tmp_path / "metered"
    site.pace = PaceSettings(metered_file=flag)
    count = iter(range(100))

    def bend(piece: Piece) -> Piece:
        if next(count) == 1:
            flag.touch()
        return piece

    received: list[int] = []
    bent = BadSource(bend)

    def at_home() -> None:
        received.append(bent.sent_bytes)
        flag.unlink()

    site.waits.then = at_home
    await site.fetch(bent)
    assert received == [2 * 262_144]
    assert site.told[-1].received_bytes == sum(map(len, BLOBS.values()))


async def test_the_rate_is_kept(site: Site) -> None:
    site.pace = PaceSettings(bytes_per_second=1e6)
    await site.fetch(source())
    assert site.waits.seconds[-1] == pytest.approx(sum(map(len, BLOBS.values())) / 1e6, rel=0.01)  # the clock stands still


async def test_progress_ends_with_everything(site: Site) -> None:
    await site.fetch(source())
    done = [told.done_bytes for told in site.told]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == site.told[-1].total_bytes == INDEX.size_bytes()


@pytest.mark.parametrize("text", ["22-5", "24:00-01:00", "10:00-10:00", "10:00 - 11:00", ""])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="22:00-05:00"):
        Hours.parse(text)
