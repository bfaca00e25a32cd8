"""Answers that may be given again to whoever asks the same, by the digest of what was asked.

A row is sealed under the key of the one who asked first, and is forgotten with him: the others ask anew. Where questions are compared, it
has the question and its vector too, under the same key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject, SubjectKey

_TOUCH_SECONDS = 3600.0
"""An answer's last use is written at most this often: a synced write for every recall would cost more than it tells."""


_ROWS_AT_ONCE = 500
"""That are opened in one transaction, so that prompts do not wait for all of them."""


@dataclass(frozen=True, slots=True)
class KeptQuestion:
    """What an answer was to.

    Args:
        scope: a digest of all that the answer depends on beside the question.
        text: the question.
        vector: what it means, as bytes.
    """

    scope: str
    text: str
    vector: bytes


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

    async def put(
        self, digest: str, answer: str, subject: Subject, asked_time: float, now: float, question: KeptQuestion | None = None
    ) -> bool:
        """Keeps an answer, unless who asked was forgotten meanwhile; makes room where there is none. Says whether it is kept.

        Args:
            digest: of the question.
            answer: to it.
            subject: whose question it is.
            asked_time: when it came, POSIX time, seconds.
            now: POSIX time, seconds.
            question: by which it may be found too; None: by the digest alone.
        """
        keys = self._database.keys

        def work(tables: Tables) -> bool:
            if keys.erased_since(tables, subject, asked_time):
                return False
            key = keys.current(tables, subject, now)
            sealed = key.sealer.seal(answer.encode(), "answers", "answer", digest)
            row = {"digest": digest, "key": key.number, "answer": sealed, "create_time": now, "used_time": now}
            # First, so that a word about an answer that is too old ends none in its place.
            tables.execute("DELETE FROM answers WHERE create_time < ?", [now - self._age_seconds])
            tables.table("answers").upsert({**row, **_sealed(key, digest, question)}, pk="digest")
            tables.execute(
                "DELETE FROM answers WHERE digest IN (SELECT digest FROM answers ORDER BY used_time DESC LIMIT -1 OFFSET ?)",
                [self._most_answers],
            )
            return self._most_answers > 0

        return await self._database.run(work)

    async def vectors(self) -> list[tuple[str, str, bytes]]:
        """Returns digest, scope and vector of every answer that may be found by its question, as far as they can be opened."""
        query = "SELECT digest, key, scope, vector FROM answers WHERE vector IS NOT NULL AND digest > ? ORDER BY digest LIMIT ?"
        found, last = list[tuple[str, str, bytes]](), ""

        def work(tables: Tables) -> list[dict[str, Any]]:
            rows = list(tables.query(query, [last, _ROWS_AT_ONCE]))
            found.extend((row["digest"], row["scope"], vector) for row, vector in self._each_opened(tables, rows, "vector"))
            return rows

        while rows := await self._database.run(work):
            last = rows[-1]["digest"]
        return found

    async def comparable(self) -> set[str]:
        """Returns the digests of the answers that may be found by their questions."""
        query = "SELECT digest FROM answers WHERE vector IS NOT NULL"
        return await self._database.run(lambda tables: {digest for (digest,) in tables.execute(query).fetchall()})

    async def questions(self, digests: Sequence[str], scope: str, now: float) -> dict[str, str]:
        """Returns the questions of those answers that are still there, may still be given, and are of this scope."""
        marks = ", ".join("?" * len(digests))
        query = f"SELECT * FROM answers WHERE digest IN ({marks})"  # noqa: S608 - question marks alone

        def work(tables: Tables) -> dict[str, str]:
            found = tables.query(query, list(digests))
            rows = [row for row in found if row["scope"] == scope and row["create_time"] >= now - self._age_seconds]
            return {row["digest"]: text.decode() for row, text in self._each_opened(tables, rows, "question")}

        return await self._database.run(work)

    def _each_opened(self, tables: Tables, rows: Sequence[dict[str, Any]], column: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        keys: dict[int, SubjectKey] = {}
        for row in rows:
            try:
                key = keys[row["key"]] = keys.get(row["key"]) or self._database.keys.held(tables, row["key"])
                yield row, key.sealer.open(row[column], "answers", column, row["digest"])
            except Unreadable:
                continue

    def _opened(self, tables: Tables, row: dict[str, Any]) -> str | None:
        try:
            key = self._database.keys.held(tables, row["key"])
            return key.sealer.open(row["answer"], "answers", "answer", row["digest"]).decode()
        except Unreadable:
            return None

    async def forget(self) -> int:
        """Deletes every kept answer and returns how many there were."""
        return await self._database.run(lambda tables: int(tables.execute("DELETE FROM answers").rowcount))


def _sealed(key: SubjectKey, digest: str, question: KeptQuestion | None) -> dict[str, Any]:
    if question is None:
        return {"scope": None, "question": None, "vector": None}
    return {
        "scope": question.scope,
        "question": key.sealer.seal(question.text.encode(), "answers", "question", digest),
        "vector": key.sealer.seal(question.vector, "answers", "vector", digest),
    }
