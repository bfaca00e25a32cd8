"""The tables `live_counts` and `feedback`: how each model does with the prompts of this site, in numbers alone."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlite_utils import Database as Tables

from agent.later.prompts import FOLLOWED_UP
from agent.store.database import Database, unusable
from agent.store.given import end_given
from contract.errors import NotFound, Reason
from contract.receipts import is_similar

T = TypeVar("T")

_ADD = """
INSERT INTO live_counts (model_digest, answers, errors, unsure) VALUES (?, ?, ?, ?)
ON CONFLICT (model_digest) DO UPDATE SET
answers = answers + excluded.answers, errors = errors + excluded.errors, unsure = unsure + excluded.unsure
"""


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """What was counted of a model.

    Args:
        answers: that it began and that did not break off.
        errors: that broke off with an error of its own.
        unsure: of the answers, those below the bar: they were escalated, or would have been if policy let them.
        good: answers that people called good.
        bad: answers that people called bad.
    """

    answers: int = 0
    errors: int = 0
    unsure: int = 0
    good: int = 0
    bad: int = 0

    @property
    def attempts(self) -> int:
        """Prompts that the model was given."""
        return self.answers + self.errors

    def since(self, begin: "LiveCounts") -> "LiveCounts":
        """Returns what was counted after a moment."""
        return LiveCounts(
            self.answers - begin.answers,
            self.errors - begin.errors,
            self.unsure - begin.unsure,
            max(0, self.good - begin.good),  # people may change their minds, and old feedback is forgotten
            max(0, self.bad - begin.bad),
        )

    def plus(self, answers: int = 0, errors: int = 0, unsure: int = 0) -> "LiveCounts":
        """Returns these and some more."""
        return LiveCounts(self.answers + answers, self.errors + errors, self.unsure + unsure, self.good, self.bad)


class LiveStore:
    """The counts. When a method returns, what it did is on the disk.

    Args:
        database: the store.
        age_seconds: how long feedback is kept.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken.
    """

    def __init__(self, database: Database, age_seconds: float) -> None:
        self._database = database
        self._age_seconds = age_seconds

    async def add(self, counted: Mapping[str, LiveCounts]) -> None:
        """Adds what was counted, by the digest of the model."""
        rows = [(digest, counts.answers, counts.errors, counts.unsure) for digest, counts in counted.items()]

        def work(tables: Tables) -> None:
            for row in rows:
                tables.execute(_ADD, row)

        await self._run(work)

    async def of(self, digest: str) -> LiveCounts:
        """Returns what was counted of a model, feedback included."""

        def work(tables: Tables) -> LiveCounts:
            row = tables.execute("SELECT answers, errors, unsure FROM live_counts WHERE model_digest = ?", [digest]).fetchone()
            query = "SELECT is_good, count(*) FROM feedback WHERE model_digest = ? GROUP BY is_good"
            said = dict(tables.execute(query, [digest]).fetchall())
            answers, errors, unsure = row or (0, 0, 0)
            return LiveCounts(answers, errors, unsure, good=said.get(1, 0), bad=said.get(0, 0))

        return await self._run(work)

    async def give_feedback(self, client: str, prompt_id: str, is_good: bool, now: float) -> None:
        """Keeps what a client says of an answer of its own; said again, it replaces what was said before. A bad word ends a kept answer.

        Args:
            client: who has asked.
            prompt_id: what was asked.
            is_good: what is said.
            now: POSIX time, seconds.

        Raises:
            NotFound: ANSWER_NOT_FOUND, this client has no such answer.
        """

        def work(tables: Tables) -> None:
            query = "SELECT receipt FROM receipts WHERE client = ? AND json_extract(receipt, '$.prompt_id') = ? ORDER BY sequence DESC"
            receipts = (json.loads(text) for (text,) in tables.execute(query, [client, prompt_id]))
            found = next(filter(_was_shown, receipts), None)
            if found is None:
                raise NotFound(Reason.ANSWER_NOT_FOUND, "There is no answer of this id for you: give the id that came with the answer.")
            was_to_another = is_similar(found["route"], found["reasons"])
            digest = "" if was_to_another else found.get("model_digest") or ""  # the model was asked something else
            row = {"receipt_id": found["receipt_id"], "model_digest": digest, "is_good": int(is_good), "create_time": now}
            tables.table("feedback").upsert(row, pk="receipt_id")
            if not is_good:
                end_given(tables, found["receipt_id"])
            tables.execute("DELETE FROM feedback WHERE create_time < ?", [now - self._age_seconds])

        await self._run(work)

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except sqlite3.DatabaseError as error:
            raise unusable(error) from error


def _was_shown(receipt: Mapping[str, Any]) -> bool:
    """Whether somebody has seen the answer: not an attempt that brought none, nor a better one to who asked by HTTP and has left."""
    if receipt["route"] != "escalated":
        return True
    return not (receipt["provisional"] or (receipt.get("intake") == "http" and FOLLOWED_UP in receipt["reasons"]))
