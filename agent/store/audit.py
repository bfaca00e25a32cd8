"""The receipts of what was done, free of content: the leaves of a log that only grows.

A receipt that is old enough is forgotten, the oldest first; its hash stays in the tree, so that nothing of the log changes.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar

import structlog
from sqlite_utils import Database as Tables

from agent.store.database import Database, unusable
from agent.store.given import Given, note_given
from agent.store.receipt_tree import append_leaf
from contract.receipts import Receipt

MOST_FORGOTTEN = 100
"""Receipts forgotten with each new one: a site whose retention was shortened must not wait for all of them at once."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedReceipt:
    """A receipt, as it stands in the log.

    Args:
        number: its place, from 0.
        text: its leaf.
    """

    number: int
    text: str


class ReceiptStore:
    """The table `receipts`, and the tree over it.

    Args:
        database: the store.
        age_seconds: how long a receipt is kept.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds
        self.appended = 0
        """How many were, by this process."""
        self.changed = asyncio.Event()

    async def append(
        self, client: str, receipt: Receipt, now: float, may_record: bool = False, may_learn: bool = False, given: Given | None = None
    ) -> None:
        """Adds a receipt and its leaf, and forgets those that are too old.

        Args:
            client: who asked.
            receipt: what was done.
            now: POSIX time, seconds.
            may_record: whether it may leave the site in clear.
            may_learn: whether it may be counted in what sites learn together.
            given: the kept answer that it is of; None: of none that is kept.
        """

        def work(tables: Tables) -> None:
            text = receipt.leaf(client)
            leaf = _logged(tables, text)
            row = {"receipt_id": receipt.receipt_id, "client": client, "receipt": text, "create_time": now, "leaf": leaf}
            allowed = {"may_record": int(may_record), "may_learn": int(may_learn)}
            tables.table("receipts").insert({**row, **allowed, "recorded": int(receipt.route == "escalated")})
            if given is not None:
                note_given(tables, self._database.keys, receipt.receipt_id, given, now)
            _forget(tables, now - self._age_seconds)

        await self._database.run(work)
        self.appended += 1
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def unrecorded(self, most: int) -> list[LoggedReceipt]:
        """Returns receipts that may leave the site and of which the hub has no entry, the oldest first. Of an escalation it has its own.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """
        query = "SELECT leaf, receipt FROM receipts WHERE may_record = 1 AND recorded = 0 AND leaf IS NOT NULL ORDER BY leaf LIMIT ?"

        def work(tables: Tables) -> list[LoggedReceipt]:
            return [LoggedReceipt(number, text) for number, text in tables.execute(query, [most]).fetchall()]

        return await self._run(work)

    async def recorded(self, receipts: Sequence[LoggedReceipt]) -> None:
        """Notes that the hub has them.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """

        def work(tables: Tables) -> None:
            tables.conn.executemany("UPDATE receipts SET recorded = 1 WHERE leaf = ?", [(receipt.number,) for receipt in receipts])

        await self._run(work)

    async def since(self, begin: float) -> list[dict[str, Any]]:
        """Returns the receipts from a time on, oldest first.

        Args:
            begin: POSIX time, seconds.
        """

        def work(tables: Tables) -> list[dict[str, Any]]:
            rows = tables.query("SELECT receipt FROM receipts WHERE create_time >= ? ORDER BY sequence", [begin])
            return [json.loads(row["receipt"]) for row in rows]

        return await self._database.run(work)

    async def latest(self, count: int) -> list[dict[str, Any]]:
        """Returns the newest receipts, newest first."""

        def work(tables: Tables) -> list[dict[str, Any]]:
            rows = tables.query("SELECT receipt FROM receipts ORDER BY sequence DESC LIMIT ?", [count])
            return [_shown(row["receipt"]) for row in rows]

        return await self._database.run(work)

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except sqlite3.DatabaseError as error:
            raise unusable(error) from error


def _logged(tables: Tables, text: str) -> int | None:
    """Returns the leaf's place. A tree that is damaged ends no answer: the receipt stands beside it, and a verification says so."""
    try:
        return append_leaf(tables, text)
    except LookupError as error:
        _log.error("the log of receipts is damaged", error=str(error), advice="seawall-agent receipts verify")
        return None


def _forget(tables: Tables, before: float) -> None:
    """Deletes from the oldest leaf on, up to the first that is young enough, so that a gap is never forgetting."""
    rows = tables.execute("SELECT leaf, create_time FROM receipts WHERE leaf IS NOT NULL ORDER BY leaf LIMIT ?", [MOST_FORGOTTEN])
    old = [leaf for leaf, _ in takewhile(lambda row: row[1] < before, rows)]
    if old:
        tables.execute("DELETE FROM receipts WHERE leaf <= ?", [old[-1]])
    tables.execute("DELETE FROM receipts WHERE leaf IS NULL AND create_time < ?", [before])


def _shown(text: str) -> dict[str, Any]:
    fields = json.loads(text)
    return {"client": fields.pop("client"), **{name: value for name, value in fields.items() if name != "format_version"}}
