"""Blobs that several agents are sent: read once, kept within a bound, and nobody is held up by another's going away."""

import asyncio
from collections.abc import Sequence

import pytest

from contract.errors import NotFound, Reason, Unavailable
from contract.pieces import Piece
from hub.release.shared_blobs import SharedBlob, SharedBlobs

DIGESTS = [f"{number:064x}" for number in range(10)]
STORED = {digest: bytes([number]) * 1000 for number, digest in enumerate(DIGESTS)}


class SlowBlobs:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.stored = dict(STORED)
        self.read: list[str] = []
        self.ready = asyncio.Event()
        self.away = False

    async def get(self, sha256: str) -> bytes | None:
        self.read.append(sha256)
        await self.ready.wait()
        if self.away:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "The store is away.")
        return self.stored.get(sha256)

    async def put(self, sha256: str, stored: bytes) -> None:
        self.stored[sha256] = stored

    async def missing(self, digests: Sequence[str]) -> list[str]:
        return [digest for digest in digests if digest not in self.stored]


@pytest.fixture
def store() -> SlowBlobs:
    return SlowBlobs()


def whole(blob: SharedBlob) -> Piece:
    return Piece.from_message(blob.message(0, 1 << 20))


async def got_from(shared: SharedBlobs, digest: str) -> SharedBlob:
    """As the servicer waits: one who goes away takes nothing from the others."""
    return await asyncio.shield(shared.begin(digest))


async def test_those_who_ask_at_the_same_time_wait_for_one_reading(store: SlowBlobs) -> None:
    shared = SharedBlobs(store)
    asked = [asyncio.create_task(got_from(shared, DIGESTS[1])) for _ in range(8)]
    store.ready.set()
    got = await asyncio.gather(*asked)
    assert {whole(blob) for blob in got} == {Piece(DIGESTS[1], 0, 1000, STORED[DIGESTS[1]])}
    assert await got_from(shared, DIGESTS[1]) is got[0]
    assert store.read == [DIGESTS[1]]


async def test_no_more_is_kept_than_may_be_and_what_was_used_last_stays(store: SlowBlobs) -> None:
    store.ready.set()
    shared = SharedBlobs(store, most_bytes=3999)
    for digest in (*DIGESTS[:3], DIGESTS[0], DIGESTS[3]):
        await got_from(shared, digest)
    assert store.read == DIGESTS[:4]
    for digest in (DIGESTS[0], DIGESTS[2], DIGESTS[3], DIGESTS[1]):
        await got_from(shared, digest)
    assert store.read == [*DIGESTS[:4], DIGESTS[1]], "the second was asked for longest ago, and had to go"


async def test_one_who_goes_away_takes_nothing_from_the_others(store: SlowBlobs) -> None:
    shared = SharedBlobs(store)
    first, second = (asyncio.create_task(got_from(shared, DIGESTS[2])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    store.ready.set()
    assert whole(await second).data == STORED[DIGESTS[2]]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_what_could_not_be_read_is_said_to_all_and_read_again_by_the_next(store: SlowBlobs) -> None:
    shared = SharedBlobs(store)
    store.away = True
    asked = [asyncio.create_task(got_from(shared, DIGESTS[3])) for _ in range(3)]
    store.ready.set()
    assert [type(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == [Unavailable] * 3
    store.away = False
    assert whole(await got_from(shared, DIGESTS[3])).data == STORED[DIGESTS[3]]


async def test_what_nobody_waits_for_any_more_may_fail(store: SlowBlobs) -> None:
    shared = SharedBlobs(store)
    store.away = True
    asked = asyncio.create_task(got_from(shared, DIGESTS[3]))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    store.ready.set()
    with pytest.raises(Unavailable):
        await got_from(shared, DIGESTS[3])
    store.away = False
    assert whole(await got_from(shared, DIGESTS[3])).data == STORED[DIGESTS[3]]


async def test_what_was_not_here_is_found_once_it_is(store: SlowBlobs) -> None:
    store.ready.set()
    shared = SharedBlobs(store)
    with pytest.raises(NotFound) as caught:
        await got_from(shared, "f" * 64)
    assert caught.value.reason is Reason.RELEASE_NOT_FOUND
    await store.put("f" * 64, b"\0now")
    assert whole(await got_from(shared, "f" * 64)).data == b"\0now"


@pytest.mark.parametrize(("offset", "most_bytes"), [(0, 999), (0, 1000), (0, 5000), (1, 5000), (400, 200), (999, 1)])
def test_a_piece_is_what_lies_there_of_the_blob(offset: int, most_bytes: int) -> None:
    stored = bytes(range(250)) * 4
    piece = Piece.from_message(SharedBlob(DIGESTS[0], stored).message(offset, most_bytes))
    assert piece == Piece(DIGESTS[0], offset, 1000, stored[offset : offset + most_bytes])


async def test_what_was_begun_is_read_once_and_may_fail_though_nobody_waits(store: SlowBlobs) -> None:
    shared = SharedBlobs(store)
    store.away = True
    begun = shared.begin(DIGESTS[3])
    assert shared.begin(DIGESTS[3]) is begun
    store.ready.set()
    await asyncio.wait([begun])
    assert store.read == [DIGESTS[3]]
    store.away = False
    assert (await got_from(shared, DIGESTS[3])).size_bytes == 1000
