"""Signed rosters: what is taken, what is refused, and that no older one is ever used."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.learning.ledger import LedgerStore
from agent.learning.rosters import KeptRoster, RosterTaker
from agent.store.database import Database
from agent.update.chunk_folder import ChunkFolder
from agent.update.clock_floor import ClockFloor
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.pacing import Pace, PaceSettings
from agent.update.trust import Trust
from contract.errors import Reason
from contract.release import Index
from contract.secagg.roster import Roster
from tests.fakes.secagg_cohort import refused
from tests.fakes.tuf_repository import NOW, FakeRepository, FakeSource, version_of


def roster(version: int) -> Roster:
    return Roster(version, {"plant-7": "a" * 64, f"plant-{version + 100}": "b" * 64})


class Device:
    """An agent that follows the roster `fleet`, and who signs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = FakeRepository(role="rosters")
        self.source = FakeSource(self.repository)
        self.database = Database(folder / "agent.db")
        self.ledger = LedgerStore(self.database)
        self.kept = KeptRoster(folder / "learning")

    def sign(self, content: bytes, version: str, file: str = "roster.json") -> Index:
        index, blobs = version_of({file: [content]}, version, "fleet")
        self.repository.add(index, blobs)
        self.repository.publish()
        return index

    async def take(self) -> Roster:
        trust = Trust(self.folder / "metadata", self.repository.trusted_root, ClockFloor(self.folder, lambda: NOW))
        chunks = ChunkFolder(self.folder / "chunks", spare_bytes=0)
        settings = FetchSettings(streams=1, attempts=1, first_delay_seconds=0)
        fetcher = Fetcher(chunks, Pace(PaceSettings(), lambda: NOW, clock=lambda: 0.0), random.Random(1), settings)
        return await RosterTaker(trust, fetcher, chunks, self.kept, self.ledger, "fleet").take(self.source)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.database.close()


async def test_the_newest_is_taken_and_is_noted_as_seen(device: Device) -> None:
    for version in (9, 10):
        device.sign(roster(version).to_json(), str(version))
    assert await device.take() == roster(10)
    assert device.ledger.roster_version() == 10


async def test_what_is_here_is_not_fetched_again(device: Device) -> None:
    device.sign(roster(1).to_json(), "1")
    await device.take()
    before = device.source.sent_bytes
    assert await device.take() == roster(1)
    assert device.source.sent_bytes == before


async def test_a_roster_that_is_damaged_on_the_disk_is_taken_anew(device: Device) -> None:
    device.sign(roster(1).to_json(), "1")
    await device.take()
    (device.folder / "learning" / "roster.json").write_bytes(b"{}")
    assert await device.take() == roster(1)


async def test_an_older_roster_than_was_seen_is_not_used(device: Device) -> None:
    device.ledger.see_roster(2)
    device.sign(roster(1).to_json(), "1")
    with refused(Reason.ROSTER_OLD):
        await device.take()


async def test_where_nobody_has_signed_one_there_is_none(device: Device) -> None:
    with refused(Reason.RELEASE_NOT_FOUND):
        await device.take()


@pytest.mark.parametrize(
    ("content", "version", "file"), [(roster(1).to_json(), "2", "roster.json"), (b"{}", "1", "roster.json"), (b"", "1", "other.json")]
)
async def test_what_is_signed_and_no_roster_of_its_version_is_refused(device: Device, content: bytes, version: str, file: str) -> None:
    device.sign(content or b"x", version, file)
    with refused(Reason.ROSTER_INVALID):
        await device.take()
    assert device.kept.read() is None


async def test_what_too_few_have_signed_is_refused(device: Device) -> None:
    index, blobs = version_of({"roster.json": [roster(1).to_json()]}, "1", "fleet")
    device.repository.add(index, blobs)
    device.repository.publish(device.repository.keys["rosters"][:1])
    with refused(Reason.RELEASE_INVALID):
        await device.take()
