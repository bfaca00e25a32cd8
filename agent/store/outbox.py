"""Prompts whose escalation was interrupted, and which are to be asked again later."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A prompt that waits.

    Args:
        entry_id: unique in the outbox, and free of personal data, such as the id of its receipt.
        subject: whose it is.
        content: what is to be asked, as whoever appended it wrote it.
        create_time: POSIX time, seconds.
        expire_time: after it, nobody wants the answer any more.
        attempts: how often it was begun to be asked.
        sequence: its place in the order of arrival; 0: not yet given one.
    """

    entry_id: str
    subject: Subject
    content: bytes
    create_time: float
    expire_time: float
    attempts: int = 0
    sequence: int = 0


class Outbox:
    """The table `outbox`. When a method returns, what it did is on the disk.

    Args:
        database: the store.
        most_entries: how many may wait.
    """

    def __init__(self, database: Database, most_entries: int) -> None:
        self._database = database
        self._most_entries = most_entries
        self.appended = asyncio.Event()
        """Set whenever a prompt is taken; whoever waits for one clears it."""

    def name(self, client: str, prompt_id: str) -> str:
        """Returns the entry's id of a client's prompt: the same whenever the prompt is answered again, and free of both."""
        return self._database.keys.digest("prompt", client, prompt_id)

    async def append(self, entry: OutboxEntry) -> bool:
        """Takes a prompt, in place of an earlier one of its id. False: too many wait, or who asked was forgotten meanwhile."""
        keys = self._database.keys

        def work(tables: Tables) -> bool:
            if keys.erased_since(tables, entry.subject, entry.create_time):
                return False
            known = tables.execute("SELECT sequence FROM outbox WHERE entry_id = ?", [entry.entry_id]).fetchone()
            if known is None and tables.table("outbox").count >= self._most_entries:
                return False
            key = keys.current(tables, entry.subject, entry.create_time)
            asker = json.dumps([entry.subject.client, entry.subject.conversation]).encode()
            sealed = {
                column: key.sealer.seal(content, "outbox", column, entry.entry_id)
                for column, content in (("asker", asker), ("content", entry.content))
            }
            times = {"create_time": entry.create_time, "expire_time": entry.expire_time}
            row = {"entry_id": entry.entry_id, "key": key.number, **sealed, **times, "attempts": 0}
            if known is None:
                tables.table("outbox").insert(row)
            else:
                tables.table("outbox").update(known[0], row)
            return True

        is_taken = await self._database.run(work)
        if is_taken:
            self.appended.set()
        return is_taken

    async def count(self) -> int:
        """Returns how many wait."""
        return await self._database.run(lambda tables: int(tables.table("outbox").count))

    async def next(self, after: int, now: float) -> OutboxEntry | None:
        """Returns the first prompt behind a place; None: there is none.

        One that has expired or can no longer be opened is deleted.

        Args:
            after: the sequence number of the one before; 0 for the oldest of all.
            now: POSIX time, seconds.
        """

        def work(tables: Tables) -> OutboxEntry | None:
            tables.execute("DELETE FROM outbox WHERE expire_time <= ?", [now])
            for row in list(tables.query("SELECT * FROM outbox WHERE sequence > ? ORDER BY sequence", [after])):
                entry = self._opened(tables, row)
                if entry is not None:
                    return entry
                tables.table("outbox").delete(row["sequence"])
            return None

        return await self._database.run(work)

    async def begin(self, entry_id: str) -> int:
        """Counts an attempt to ask a prompt. Returns how many there were, this one included; 0: it is gone."""

        def work(tables: Tables) -> int:
            tables.execute("UPDATE outbox SET attempts = attempts + 1 WHERE entry_id = ?", [entry_id])
            row = tables.execute("SELECT attempts FROM outbox WHERE entry_id = ?", [entry_id]).fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.run(work)

    async def done(self, entry_id: str) -> None:
        """Deletes a prompt that was answered or given up."""
        await self._database.run(lambda tables: tables.execute("DELETE FROM outbox WHERE entry_id = ?", [entry_id]))

    async def forget(self, now: float) -> int:
        """Deletes the prompts that have expired and returns how many there were."""
        return await self._database.run(lambda tables: int(tables.execute("DELETE FROM outbox WHERE expire_time <= ?", [now]).rowcount))

    def _opened(self, tables: Tables, row: dict[str, Any]) -> OutboxEntry | None:
        try:
            sealer = self._database.keys.held(tables, row["key"]).sealer
            asker, content = (sealer.open(row[column], "outbox", column, row["entry_id"]) for column in ("asker", "content"))
        except Unreadable:
            return None
        times = {name: row[name] for name in ("create_time", "expire_time", "sequence")}
        return OutboxEntry(row["entry_id"], Subject(*json.loads(asker)), content, attempts=row["attempts"], **times)
