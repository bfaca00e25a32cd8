"""Snapshot and timestamp: made when all fits, renewed at half of their life, by one process."""

import asyncio
from collections.abc import AsyncIterator
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

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.signer = CryptoSigner.generate_ecdsa()
        self.ceremony = Ceremony.held([self.signer.public_key], START)
        self.database = Database.open(f"sqlite:///{folder / 'hub.db'}")
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
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.database.close()


async def test_nothing_is_shown_before_all_of_it_is_here(hub: Hub) -> None:
    assert await hub.import_trust() == [0, 0, 0, 0, 0, 1]
    assert await hub.versions() == (1, 1)


async def test_without_trust_there_is_nothing_to_renew(hub: Hub) -> None:
    await hub.repository.renew()
    with pytest.raises(NotFound) as raised:
        await hub.repository.metadata("timestamp.json")
    assert raised.value.reason is Reason.RELEASE_NOT_FOUND


@pytest.mark.parametrize(
    ("later", "versions"),
    [
        (timedelta(minutes=29), (1, 1)),
        (timedelta(minutes=31), (1, 2)),
        (timedelta(hours=13), (2, 2)),
        (timedelta(days=400), (2, 2)),
    ],
)
async def test_what_is_half_over_is_renewed(hub: Hub, later: timedelta, versions: tuple[int, int]) -> None:
    await hub.import_trust()
    hub.now += later
    await hub.repository.renew()
    assert await hub.versions() == versions
    timestamp: Metadata[Any] = Metadata.from_bytes(await hub.repository.metadata("timestamp.json"))
    assert timestamp.signed.expires > hub.now


async def test_of_those_who_renew_at_once_one_does(hub: Hub) -> None:
    await hub.import_trust()
    hub.now += timedelta(hours=13)
    others = [Repository(hub.database, hub.signer, lambda: hub.now) for _ in range(8)]
    await asyncio.gather(*(other.renew() for other in others))
    assert await hub.versions() == (2, 2)


async def test_a_hub_with_a_new_key_shows_the_old_until_the_root_names_it(hub: Hub) -> None:
    await hub.import_trust()
    fresh = CryptoSigner.generate_ecdsa()
    hub.repository._signer = fresh
    hub.now += timedelta(hours=13)
    await hub.repository.renew()
    assert await hub.versions() == (1, 1)
    changed = trust.replace_online(hub.ceremony.trust, [fresh.public_key], hub.ceremony.signers["root"], LIVES, hub.now)
    await hub.publish("root", changed["root"].to_bytes())
    assert await hub.versions() == (2, 2)
    timestamp: Metadata[Any] = Metadata.from_bytes(await hub.repository.metadata("timestamp.json"))
    assert set(timestamp.signatures) == {fresh.public_key.keyid}


async def test_old_snapshots_are_forgotten_in_the_end(hub: Hub) -> None:
    await hub.import_trust()
    for _ in range(60):
        hub.now += timedelta(hours=13)
        await hub.repository.renew()
    assert await hub.versions() == (61, 61)
    await hub.repository.metadata("20.snapshot.json")
    with pytest.raises(NotFound):
        await hub.repository.metadata("5.snapshot.json")
