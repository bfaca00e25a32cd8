"""Answers that may be given again, by the digest of what was asked."""

from sqlite_utils import Database as Tables

from agent.store.database import Database

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
        """Returns the answer kept under a digest, or None.

        Args:
            digest: of the question.
            now: POSIX time, seconds.
        """

        def work(tables: Tables) -> str | None:
            rows = list(tables.query("SELECT answer, create_time, used_time FROM answers WHERE digest = ?", [digest]))
            if not rows or rows[0]["create_time"] < now - self._age_seconds:
                return None
            if rows[0]["used_time"] + _TOUCH_SECONDS < now:
                tables.table("answers").update(digest, {"used_time": now})
            return str(rows[0]["answer"])

        return await self._database.run(work)

    async def put(self, digest: str, answer: str, now: float) -> None:
        """Keeps an answer; makes room where there is none."""

        def work(tables: Tables) -> None:
            row = {"digest": digest, "answer": answer, "create_time": now, "used_time": now}
            tables.table("answers").upsert(row, pk="digest")
            tables.execute("DELETE FROM answers WHERE create_time < ?", [now - self._age_seconds])
            tables.execute(
                "DELETE FROM answers WHERE digest IN (SELECT digest FROM answers ORDER BY used_time DESC LIMIT -1 OFFSET ?)",
                [self._most_answers],
            )

        await self._database.run(work)

    async def forget(self) -> int:
        """Deletes every kept answer and returns how many there were."""
        return await self._database.run(lambda tables: int(tables.execute("DELETE FROM answers").rowcount))
