"""The repository that agents read: what was published, under a snapshot and a timestamp that the hub signs and keeps fresh.

All of it lies in the store. Whichever process of the hub finds something half over renews it, under the store's one writer.
"""

from datetime import datetime, timedelta
from typing import Any

import structlog
from securesystemslib.signer import Signer
from sqlalchemy import Connection
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from contract.errors import NotFound, Reason
from hub.clock import Clock
from hub.release.metadata import Current, verify
from hub.store import releases
from hub.store.database import Database

SNAPSHOT_LIFE = timedelta(days=1)
TIMESTAMP_LIFE = timedelta(hours=1)
"""So long, agents may be shown old metadata by one who holds the line between."""

RENEW_SECONDS = 30.0
"""How often to look whether either is half over."""

SNAPSHOTS_KEPT = 2 * SNAPSHOT_LIFE
"""An agent that has read an older timestamp still finds its snapshot."""

_log = structlog.get_logger(__name__)


class Repository:
    """What can be read, and what keeps it fresh.

    Args:
        database: where all is.
        signer: of snapshots and timestamps.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    async def metadata(self, name: str) -> bytes:
        """Returns a metadata file.

        Raises:
            NotFound: RELEASE_NOT_FOUND.
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        return _found(await self._database.read(lambda connection: releases.get_metadata(connection, name)), name)

    async def target(self, path: str) -> bytes:
        """Returns a target's file, by its consistent path.

        Raises:
            NotFound: RELEASE_NOT_FOUND.
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        return _found(await self._database.read(lambda connection: releases.get_target(connection, path)), path)

    async def renew(self) -> None:
        """Signs snapshot and timestamp anew where half of a life is over.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        if self._due(await self._database.read(Current.read)):
            await self._database.write(self._renew_due)
            _log.info("snapshot and timestamp renewed")

    def _renew_due(self, connection: Connection) -> None:
        """Looks again, since another process may have been faster."""
        if self._due(Current.read(connection)):
            self.sign(connection)

    def _due(self, current: Current) -> bool:
        meta = _shown(current)
        if not self.can_sign(current) or meta is None:
            return False
        if current.snapshot is None or current.snapshot.signed.meta != meta:
            return True  # one that could not sign has published
        return _half_over(current.timestamp, TIMESTAMP_LIFE, self._clock()) or _half_over(current.snapshot, SNAPSHOT_LIFE, self._clock())

    def can_sign(self, current: Current) -> bool:
        """Says whether the root names this hub's online key for both roles, alone sufficient."""
        if current.root is None:
            return False
        roles = [current.root.signed.roles[kind.type] for kind in (Snapshot, Timestamp)]
        return all(self.key_id in role.keyids and role.threshold == 1 for role in roles)

    @property
    def key_id(self) -> str:
        """Of the online key."""
        return self._signer.public_key.keyid

    def sign(self, connection: Connection) -> int:
        """Makes snapshot and timestamp of what is there, as a part of a write. What does not fit yet is left out.

        Returns:
            the snapshot's version; 0: there is nothing to show yet.
        """
        current, now = Current.read(connection), self._clock()
        snapshot = self._snapshot(current, now) if self.can_sign(current) else None
        if snapshot is None:
            return 0 if current.snapshot is None else current.snapshot.signed.version
        if snapshot is not current.snapshot:
            releases.put_metadata(connection, f"{snapshot.signed.version}.snapshot.json", snapshot.to_bytes(), now)
            releases.forget_metadata(connection, Snapshot.type, now - SNAPSHOTS_KEPT)
        version = _next_version(current.timestamp, now)
        timestamp = Metadata(Timestamp(version=version, expires=_end(now, TIMESTAMP_LIFE), snapshot_meta=MetaFile(snapshot.signed.version)))
        timestamp.sign(self._signer)
        releases.put_metadata(connection, releases.TIMESTAMP, timestamp.to_bytes(), now)
        return snapshot.signed.version

    def _snapshot(self, current: Current, now: datetime) -> Metadata[Snapshot] | None:
        """Returns the one that is current still, or a new one."""
        old, meta = current.snapshot, _shown(current)
        if meta is None:
            return None
        if old is not None and old.signed.meta == meta and not _half_over(old, SNAPSHOT_LIFE, now) and self._is_ours(current, old):
            return old
        made = Metadata(Snapshot(version=_next_version(old, now), expires=_end(now, SNAPSHOT_LIFE), meta=meta))
        made.sign(self._signer)
        return made

    def _is_ours(self, current: Current, snapshot: Metadata[Snapshot]) -> bool:
        """Whether the root of today still vouches for it."""
        if current.root is None or self.key_id not in snapshot.signatures:
            return False
        try:
            verify(current.root.signed, Snapshot.type, snapshot)
        except RepositoryError:
            return False
        return True


def _shown(current: Current) -> dict[str, MetaFile] | None:
    """Which version of each role agents are to see: the newest where all fits, else those that did; None: nothing yet."""
    if current.fits() and current.targets is not None:
        every = {"targets": current.targets, **dict(current.roles)}
        return {f"{name}.json": MetaFile(metadata.signed.version) for name, metadata in every.items()}
    return None if current.snapshot is None else current.snapshot.signed.meta


def _half_over(metadata: Metadata[Any] | None, life: timedelta, now: datetime) -> bool:
    return metadata is None or metadata.signed.expires - now < life / 2


def _next_version(old: Metadata[Any] | None, now: datetime) -> int:
    """Seconds since 1970, so that agents take what a hub signs that was restored from a backup: they refuse lower versions."""
    return max(int(now.timestamp()), 1 if old is None else old.signed.version + 1)


def _end(now: datetime, life: timedelta) -> datetime:
    return (now + life).replace(microsecond=0)


def _found(content: bytes | None, name: str) -> bytes:
    if content is None:
        raise NotFound(Reason.RELEASE_NOT_FOUND, f"There is no '{name[:160]}'. seawall-hub releases list shows what was published.")
    return content
