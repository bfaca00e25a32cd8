"""Answers that may be given again to whoever asks the same, by the digest of what was asked.

A row is sealed under the key of the one who asked first, and is forgotten with him: the others ask anew.
"""

from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject

_TOUCH_SECONDS = 3600.0
"""An answer's last use is written at most this often: a synced write for every recall would cost more than it tells."""


class AnswerStore:
    """The table `answers`.

    Args:
        database: the store.
        most_answers: how many are kept; the least recently used go first.
        age_seconds: how long an answer may be given again.
    """

    def __init__(self, database: Database, most_answers: int, age_seconds: float) -> None:
        self._database = database
        self._most_answers = most_answers
        self._age_seconds = age_seconds

    async def get(self, digest: str, now: float) -> str | None:
        """Returns the answer kept under a digest, or None: there is none, or it can no longer be opened.

        Args:
            digest: of the question.
            now: POSIX time, seconds.
        """

        def work(tables: Tables) -> str | None:
            rows = list(tables.query("SELECT * FROM answers WHERE digest = ?", [digest]))
            if not rows or rows[0]["create_time"] < now - self._age_seconds:
                return None
            if rows[0]["used_time"] + _TOUCH_SECONDS < now:
                tables.table("answers").update(digest, {"used_time": now})
            return self._opened(tables, rows[0])

        return await self._database.run(work)

    async def put(self, digest: str, answer: str, subject: Subject, asked_time: float, now: float) -> None:
        """Keeps an answer, unless who asked was forgotten meanwhile; makes room where there is none.

        Args:
            digest: of the question.
            answer: to it.
            subject: whose question it is.
            asked_time: when it came, POSIX time, seconds.
            now: POSIX time, seconds.
        """
        keys = self._database.keys

        def work(tables: Tables) -> None:
            if keys.erased_since(tables, subject, asked_time):
                return
            key = keys.current(tables, subject, now)
            sealed = key.sealer.seal(answer.encode(), "answers", "answer", digest)
            row = {"digest": digest, "key": key.number, "answer": sealed, "create_time": now, "used_time": now}
            tables.table("answers").upsert(row, pk="digest")
            tables.execute("DELETE FROM answers WHERE create_time < ?", [now - self._age_seconds])
            tables.execute(
                "DELETE FROM answers WHERE digest IN (SELECT digest FROM answers ORDER BY used_time DESC LIMIT -1 OFFSET ?)",
                [self._most_answers],
            )

        await self._database.run(work)

    def _opened(self, tables: Tables, row: dict[str, Any]) -> str | None:
        try:
            key = self._database.keys.held(tables, row["key"])
            return key.sealer.open(row["answer"], "answers", "answer", row["digest"]).decode()
        except Unreadable:
            return None

    async def forget(self) -> int:
        """Deletes every kept answer and returns how many there were."""
        return await self._database.run(lambda tables: int(tables.execute("DELETE FROM answers").rowcount))
