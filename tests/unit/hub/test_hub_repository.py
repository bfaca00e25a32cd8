"""Snapshot and timestamp: made when all fits, renewed at half of their life, by one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from contract.errors import NotFound, Reason
from hub.fleet.events import Journal
from hub.release.blobs import FolderBlobs
from hub.release.publishing import Publishing
from hub.release.repository import Repository
from hub.store.database import Database
from models import trust
from tests.fakes.releases import LIVES, Ceremony

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Hub:
    """What there is of a hub for this: a store, a key, a clock that the test turns."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.now = START
        self.signer = CryptoSigner.generate_ecdsa()
        self.ceremony = Ceremony.held([self.signer.public_key], START)
        self.database = Database.open(database_url)
        self.repository = Repository(self.database, self.signer, lambda: self.now)
        journal = Journal(self.database, lambda: self.now)
        self.publishing = Publishing(journal, self.repository, FolderBlobs(folder), lambda: self.now)

    async def publish(self, role: str, content: bytes) -> int:
        return (await self.publishing.publish(role, content, {}, "spiffe://x/operators/a", may_begin=True)).snapshot_version

    async def import_trust(self) -> list[int]:
        return [await self.publish(role, content) for role, content in self.ceremony.everything().items()]

    async def versions(self) -> tuple[int, int]:
        """Of the snapshot and the timestamp that agents are shown."""
        timestamp: Metadata[Any] = Metadata.from_bytes(await self.repository.metadata("timestamp.json"))
        return timestamp.signed.snapshot_meta.version, timestamp.signed.version


@pytest.fixture
async def hub(tmp_path: Path, database_url: str) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path, database_url)
    yield hub
    hub.database.close()


async def test_nothing_is_shown_before_all_of_it_is_here(hub: Hub) -> None:
    *before, after = await hub.import_trust()
    assert (before, after > 0) == ([0] * 5, True)
    assert (await hub.versions())[0] == after


async def test_without_trust_there_is_nothing_to_renew(hub: Hub) -> None:
    await hub.repository.renew()
    with pytest.raises(NotFound) as raised:
        await hub.repository.metadata("timestamp.json")
    assert raised.value.reason is Reason.RELEASE_NOT_FOUND


@pytest.mark.parametrize(
    ("later", "renewed"),
    [
        (timedelta(minutes=29), (False, False)),
        (timedelta(minutes=31), (False, True)),
        (timedelta(hours=13), (True, True)),
        (timedelta(days=400), (True, True)),
    ],
)
async def test_what_is_half_over_is_renewed(hub: Hub, later: timedelta, renewed: tuple[bool, bool]) -> None:
    await hub.import_trust()
    before = await hub.versions()
    hub.now += later
    await hub.repository.renew()
    after = await hub.versions()
    assert (after[0] > before[0], after[1] > before[1]) == renewed
    timestamp: Metadata[Any] = Metadata.from_bytes(await hub.repository.metadata("timestamp.json"))
    assert timestamp.signed.expires > hub.now


async def test_versions_rise_though_the_clock_stands_still_or_goes_back(hub: Hub) -> None:
    await hub.import_trust()
    before = await hub.versions()
    hub.now -= timedelta(hours=5)
    await hub.publish("models", hub.ceremony.next("models", {}, now=hub.now))
    assert await hub.versions() == (before[0] + 1, before[1] + 1)


async def test_a_hub_of_an_old_backup_signs_what_agents_take(hub: Hub, tmp_path: Path) -> None:
    await hub.import_trust()
    (tmp_path / "restored").mkdir()
    restored = Hub(tmp_path / "restored", f"sqlite:///{tmp_path / 'restored.db'}")
    restored.ceremony, restored.repository._signer = hub.ceremony, hub.signer
    await restored.import_trust()
    for _ in range(5):
        hub.now += timedelta(hours=13)
        await hub.repository.renew()
    restored.now = hub.now + timedelta(minutes=1)
    await restored.repository.renew()
    assert all(new > old for new, old in zip(await restored.versions(), await hub.versions(), strict=True))
    restored.database.close()


async def test_what_was_published_where_the_key_is_another_is_shown_by_the_next_who_can(hub: Hub) -> None:
    await hub.import_trust()
    before = await hub.versions()
    other = Repository(hub.database, CryptoSigner.generate_ecdsa(), lambda: hub.now)
    hub.publishing._repository = other
    await hub.publish("models", hub.ceremony.next("models", {}, now=hub.now))
    assert await hub.versions() == before
    await hub.repository.renew()
    assert (await hub.versions())[0] > before[0]


async def test_of_those_who_renew_at_once_one_does(hub: Hub) -> None:
    await hub.import_trust()
    hub.now += timedelta(hours=13)
    others = [Repository(hub.database, hub.signer, lambda: hub.now) for _ in range(8)]
    await asyncio.gather(*(other.renew() for other in others))
    assert await hub.versions() == (int(hub.now.timestamp()),) * 2


async def test_a_hub_with_a_new_key_shows_the_old_until_the_root_names_it(hub: Hub) -> None:
    await hub.import_trust()
    fresh = CryptoSigner.generate_ecdsa()
    hub.repository._signer = fresh
    hub.now += timedelta(hours=13)
    before = await hub.versions()
    await hub.repository.renew()
    assert await hub.versions() == before
    changed = trust.replace_online(hub.ceremony.trust, [fresh.public_key], hub.ceremony.signers["root"], LIVES, hub.now)
    await hub.publish("root", changed["root"].to_bytes())
    assert (await hub.versions())[0] > before[0]
    timestamp: Metadata[Any] = Metadata.from_bytes(await hub.repository.metadata("timestamp.json"))
    assert set(timestamp.signatures) == {fresh.public_key.keyid}


async def test_old_snapshots_are_forgotten_in_the_end(hub: Hub) -> None:
    await hub.import_trust()
    first = (await hub.versions())[0]
    for hours, there in ((13, True), (30, True), (30, False)):
        hub.now += timedelta(hours=hours)
        await hub.repository.renew()
        with nullcontext() if there else pytest.raises(NotFound):
            await hub.repository.metadata(f"{first}.snapshot.json")
    await hub.repository.metadata(f"{(await hub.versions())[0]}.snapshot.json")
