"""Bringing chunks here: what is fetched, and how bad sources end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from agent.update.chunk_folder import HeldFiles
from agent.update.sources import away
from contract.blobs import ZSTD
from contract.errors import InvalidRequest, NotFound, Reason, SeawallError, Unavailable
from contract.pieces import Piece
from tests.fakes.fetching_device import BLOBS, FIRST, INDEX, REPOSITORY, WEIGHTS, BadSource, Site, source, whole
from tests.fakes.tuf_repository import FakeSource, version_of


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _stop() -> Piece:
    raise asyncio.CancelledError


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
