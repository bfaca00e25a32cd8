"""What a window comes to on this device: the answers that policy lets be learnt from, counted; then clipped, and noise added."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlite_utils import Database as Tables

from agent.learning.ledger import store_broken
from agent.store.database import Database
from agent.store.sketches import SketchStore
from contract import usage
from contract.calibration import sums
from contract.errors import NotPossibleNow, Reason
from contract.learning import noise_of, schema, span
from contract.privacy_noise import Bits, clipped
from contract.receipts import Receipt
from contract.secagg.masks import to_vector
from contract.secagg.messages import Plan
from contract.subjects import MOST_ANSWERS, Confidence, Judged, Subject, Usage

MayLearn = Callable[[Mapping[str, Any]], bool]
"""Says of a receipt, as it is stored, whether its answer may be counted still."""

_ALL = "SELECT sequence FROM receipts WHERE may_learn = 1 AND create_time >= ? AND create_time < ?"
_JUDGED = """
SELECT sequence FROM receipts JOIN feedback USING (receipt_id)
WHERE may_learn = 1 AND receipts.create_time >= ? AND receipts.create_time < ?
"""


class Reporting:
    """Counts. It blocks: a round is answered in a thread of its own.

    Args:
        database: the store.
        may_learn: asked of each answer that might be counted when it was given.
        randomness: draws among answers where there are too many.
        condition: returns how the device is doing.
    """

    def __init__(
        self,
        database: Database,
        may_learn: MayLearn,
        randomness: random.Random,
        condition: Callable[[], usage.Condition] = lambda: usage.UNMEASURED,
    ) -> None:
        self._database = database
        self._may_learn = may_learn
        self._randomness = randomness
        self._condition = condition
        self._sketches = SketchStore(database)

    def counts(self, subject: Subject, week: str) -> list[int]:
        """Returns the entries of a week.

        Args:
            subject: what they are to be of.
            week: that is over.

        Raises:
            NotPossibleNow: LOG_DAMAGED, a receipt cannot be read.
            Unavailable: STORE_UNAVAILABLE, the disk is full or broken.
        """
        begin, end = (time.timestamp() for time in span(week))
        condition = self._condition()

        def work(tables: Tables) -> list[int]:
            if isinstance(subject, Usage):
                return usage.tally(self._learnable(tables, _ALL, begin, end), MOST_ANSWERS, condition)
            return sums.tally(subject.score, subject.in_force, self._judged(subject, tables, self._learnable(tables, _JUDGED, begin, end)))

        try:
            found = self._database.run_now(work)
            self._database.forget_pages()
            return found
        except sqlite3.DatabaseError as error:
            raise store_broken(error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise NotPossibleNow(
                Reason.LOG_DAMAGED, "A receipt cannot be read, so nothing is reported of its week: seawall-agent receipts verify"
            ) from error

    def _judged(self, subject: Judged, tables: Tables, answers: Iterator[usage.Used]) -> Iterator[tuple[float, bool]]:
        """Yields the figure of each answer, and whether it was called good; nothing where it has none."""
        if isinstance(subject, Confidence):
            yield from sums.judged_of(subject.model, ((one.receipt, one.is_good) for one in answers))
            return
        for one in answers:
            similarity = self._sketches.similarity(tables, one.receipt.receipt_id)
            if similarity is not None and one.is_good is not None:
                yield similarity, one.is_good

    def _learnable(self, tables: Tables, query: str, begin: float, end: float) -> Iterator[usage.Used]:
        """Yields the answers of a span that may be learnt from, in random order, so that what is left out is no time of the week."""
        sequences = [sequence for (sequence,) in tables.execute(query, [begin, end])]
        self._randomness.shuffle(sequences)
        for sequence in sequences:
            query = "SELECT receipt, is_good FROM receipts LEFT JOIN feedback USING (receipt_id) WHERE sequence = ?"
            text, is_good = tables.execute(query, [sequence]).fetchone()
            receipt = json.loads(text)
            if self._may_learn(receipt):
                said = None if is_good is None else bool(is_good)
                yield usage.Used(Receipt.from_dict(receipt), said, self._sketches.of(tables, receipt["receipt_id"]))


def vector(counts: list[int], subject: Subject, plan: Plan, bits: Bits) -> bytes:
    """Returns what leaves, before it is masked: clipped in each case, with this device's part of the noise unless the plan is exact.

    Args:
        counts: the entries.
        subject: what they are of.
        plan: that was accepted.
        bits: random ones.
    """
    if plan.schema == schema(subject, is_exact=True):
        return to_vector(clipped(counts, subject.norm))
    return noise_of(subject, plan).contribution(counts, bits)
