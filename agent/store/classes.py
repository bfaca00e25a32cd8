"""The highest class that a conversation has had. It never falls, whatever of the conversation is shown or left out later."""

from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject
from contract.classification import DataClass

TOUCH_SECONDS = 3600.0
"""That a conversation goes on is written at most this often: a synced write for every prompt would cost more than it tells. So
a class is kept for as much longer."""


class ClassStore:
    """The table `classes`: one sealed value a conversation.

    Args:
        database: the store.
        age_seconds: how long a class is kept after the conversation's last prompt, at least; `agent.store.retention` deletes it later.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds

    async def rise(self, subject: Subject, data_class: DataClass, asked_time: float, now: float) -> DataClass:
        """Returns the class of a prompt in its conversation: its own, or what the conversation has had, if that is higher.

        What it returns is on the disk, unless who asked was forgotten meanwhile. A value that can no longer be opened means restricted.

        Args:
            subject: the conversation.
            data_class: of the prompt.
            asked_time: when it came, POSIX time, seconds.
            now: POSIX time, seconds.
        """
        keys = self._database.keys

        def work(tables: Tables) -> DataClass:
            name, oldest = keys.subject(subject), now - self._age_seconds - TOUCH_SECONDS
            row = next(iter(tables.query("SELECT * FROM classes WHERE subject = ? AND create_time >= ?", [name, oldest])), None)
            kept = DataClass.PUBLIC if row is None else self._opened(tables, row)
            risen = max(kept, data_class)
            is_fresh = row is not None and risen == kept and row["create_time"] + TOUCH_SECONDS >= now
            if risen is DataClass.PUBLIC or is_fresh or keys.erased_since(tables, subject, asked_time):
                return risen
            key = keys.current(tables, subject, now)
            sealed = key.sealer.seal(str(int(risen)).encode(), "classes", "content", name)
            tables.table("classes").upsert({"subject": name, "key": key.number, "content": sealed, "create_time": now}, pk="subject")
            return risen

        return await self._database.run(work)

    def _opened(self, tables: Tables, row: dict[str, Any]) -> DataClass:
        try:
            sealer = self._database.keys.held(tables, row["key"]).sealer
            return DataClass(int(sealer.open(row["content"], "classes", "content", row["subject"])))
        except Unreadable:
            return DataClass.RESTRICTED
