"""The hub's own log, of escalations and recorded receipts, as it grows.

A store that is away stops no answer: an escalation that could not be written waits here, a receipt at its agent.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from contract.errors import InvalidRequest, NotPossibleNow, Reason, Unavailable
from contract.merkle import consistency_proof, root
from contract.tree_heads import HUB_LOG, SignedHead, TreeHead, sign_head, to_millisecond
from hub.audit.entries import Entry
from hub.audit.receipts import ReceiptEntry
from hub.clock import Clock
from hub.config import ProviderSettings
from hub.store import audit
from hub.store.audit import Chosen, EntryRecord
from hub.store.database import Database

HEAD_SECONDS = 60.0
"""A head is signed so often, where there is something new."""

MOST_WAITING = 10_000
"""Entries that wait for the store; of more, the oldest are lost, and the log of this process says so."""

_log = structlog.get_logger(__name__)


class Trail:
    """All escalations.

    Args:
        database: where they are kept.
        key: signs the heads; the same in every process of the hub.
        clock: the time, in UTC.
        providers: by name, for their prices.
        most_waiting: entries that wait for the store.
    """

    def __init__(
        self,
        database: Database,
        key: ec.EllipticCurvePrivateKey,
        clock: Clock,
        providers: Mapping[str, ProviderSettings],
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._database = database
        self._key = key
        self._most_waiting = most_waiting
        self._waiting: deque[Entry] = deque()
        self._adding: set[asyncio.Task[None]] = set()
        self.clock = clock
        self.providers = providers

    def add(self, entry: Entry) -> "asyncio.Future[None]":
        """Adds an entry, also when whoever waits for it is cancelled."""
        task = asyncio.create_task(self._add(entry))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)
        return asyncio.shield(task)

    async def record(self, entries: Sequence[ReceiptEntry]) -> None:
        """Adds receipts, each that is not there already; all or none. Nothing waits here: their agents keep them until this returns.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
            NotPossibleNow: LOG_DAMAGED.
        """

        def work(connection: Connection) -> None:
            for entry in entries:
                if not audit.has_receipt(connection, entry.agent, entry.receipt_hash):
                    audit.append(connection, entry.time, entry.agent, entry.leaf(), entry.receipt_hash)

        try:
            await self._database.write(work)
        except LookupError as error:
            raise _damaged(error) from error

    async def flush(self) -> None:
        """Writes what waits.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        while self._waiting:
            entry = self._waiting.popleft()
            try:
                await self._write(entry)
            except Unavailable:
                self._waiting.appendleft(entry)
                raise

    async def sign(self) -> SignedHead:
        """Signs the log as it is, unless that was done. Returns its head.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
            NotPossibleNow: LOG_DAMAGED.
        """

        def work(connection: Connection) -> SignedHead:
            size, newest = audit.size(connection), audit.newest_head(connection)
            if newest is not None and newest.head.size >= size:
                return newest
            try:
                head = TreeHead(HUB_LOG, size, root(audit.nodes(connection), size), to_millisecond(self.clock()))
            except LookupError as error:
                raise _damaged(error) from error
            signed = sign_head(self._key, head)
            if size:
                audit.put_head(connection, signed)
            return signed

        return await self._database.write(work)

    async def proof(self, first: int, second: int) -> list[bytes]:
        """Returns the proof that the log goes on from an earlier size.

        Raises:
            InvalidRequest: FIELD_INVALID, it never had that size.
            NotPossibleNow: LOG_DAMAGED.
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        if not 0 <= first <= second:
            raise InvalidRequest(Reason.FIELD_INVALID, f"The log has {second} entries; first_size must be 0 to that.")
        if first == 0:
            return []
        try:
            return await self._database.read(lambda connection: consistency_proof(audit.nodes(connection), first, second))
        except LookupError as error:
            raise _damaged(error) from error

    async def page(self, chosen: Chosen, after: int, most: int) -> list[EntryRecord]:
        """Returns at most so many entries behind a number, the oldest first.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        return await self._database.read(lambda connection: audit.page(connection, chosen, after, most))

    async def forget(self, age: timedelta) -> None:
        """Forgets what is older; the hashes stay.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        before = self.clock() - age
        forgotten = audit.CHUNK
        while forgotten == audit.CHUNK:
            forgotten = await self._database.write(lambda connection: audit.forget(connection, before))

    async def close(self) -> None:
        """Waits for what is being written, and signs the log a last time.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        await asyncio.gather(*self._adding)
        await self.flush()
        try:
            await self.sign()
        except NotPossibleNow as error:
            _log.error("the audit log is not signed", reason=error.reason, advice=error.message)

    async def _add(self, entry: Entry) -> None:
        try:
            await self._write(entry)
        except Unavailable as error:
            self._waiting.append(entry)
            _log.warning("an entry of the audit log waits for the store", request_id=entry.request_id, reason=error.reason)
            while len(self._waiting) > self._most_waiting:
                lost = self._waiting.popleft()
                _log.error("an entry of the audit log is lost", **json.loads(lost.leaf()))

    async def _write(self, entry: Entry) -> None:
        try:
            await self._database.write(lambda connection: audit.append(connection, entry.time, entry.agent, entry.leaf()))
        except LookupError as error:
            _log.error("the audit log is damaged: an entry is lost", error=str(error), **json.loads(entry.leaf()))


def _damaged(error: Exception) -> NotPossibleNow:
    return NotPossibleNow(Reason.LOG_DAMAGED, f"The audit log is damaged ({error}): see what seawall-hub audit verify says.")
