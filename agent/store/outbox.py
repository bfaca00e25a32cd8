"""Prompts whose escalation was interrupted, and which are to be asked again later."""

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
        attempts: how often it was taken out to be asked, this time included.
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

    async def append(self, entry: OutboxEntry) -> bool:
        """Takes a prompt, once. Returns whether it is in the outbox now; False: too many wait, or who asked was forgotten meanwhile."""
        keys = self._database.keys

        def work(tables: Tables) -> bool:
            if tables.execute("SELECT 1 FROM outbox WHERE entry_id = ?", [entry.entry_id]).fetchone():
                return True
            if keys.erased_since(tables, entry.subject, entry.create_time) or tables.table("outbox").count >= self._most_entries:
                return False
            key = keys.current(tables, entry.subject, entry.create_time)
            asker = json.dumps([entry.subject.client, entry.subject.conversation]).encode()
            sealed = {
                column: key.sealer.seal(content, "outbox", column, entry.entry_id)
                for column, content in (("asker", asker), ("content", entry.content))
            }
            times = {"create_time": entry.create_time, "expire_time": entry.expire_time}
            tables.table("outbox").insert({"entry_id": entry.entry_id, "key": key.number, **sealed, **times, "attempts": 0})
            return True

        return await self._database.run(work)

    async def next(self, after: int, now: float) -> OutboxEntry | None:
        """Returns the first prompt behind a place, and counts the attempt to ask it; None: there is none.

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
                    tables.table("outbox").update(entry.sequence, {"attempts": entry.attempts})
                    return entry
                tables.table("outbox").delete(row["sequence"])
            return None

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
        return OutboxEntry(row["entry_id"], Subject(*json.loads(asker)), content, attempts=row["attempts"] + 1, **times)
