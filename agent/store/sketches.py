"""Sketches of prompts, each beside the receipt of its answer: where the prompt lies, roughly, for sums over the fleet.

Where the cache gave the answer to a similar question, how similar that was is kept too. Both are derived from what was asked. So they are
in no receipt, lie sealed under the key of whoever asked, and go with that key, or with the receipt, or once its week cannot be reported any
more.
"""

from struct import Struct

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject
from contract.drift import Sketch, from_bytes, to_bytes
from contract.learning import WINDOWS_KEPT

SKETCH_SECONDS = (WINDOWS_KEPT + 1) * 7 * 24 * 3600.0
"""How long one is kept: through its own week, and those in which that can be reported."""

_SIMILARITY = Struct("<d")


class SketchStore:
    """The table `sketches`.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, receipt_id: str, sketch: Sketch, subject: Subject, asked_time: float, now: float, similarity: float | None = None
    ) -> None:
        """Keeps a sketch, if its answer may be counted and who asked was not forgotten meanwhile.

        Args:
            receipt_id: of the answer.
            sketch: of its prompt.
            subject: who asked.
            asked_time: when the prompt came, POSIX time, seconds.
            now: POSIX time, seconds.
            similarity: of the question whose answer was given; None: it was given no such answer.
        """
        keys = self._database.keys

        def work(tables: Tables) -> None:
            query = "SELECT 1 FROM receipts WHERE receipt_id = ? AND may_learn = 1"
            if tables.execute(query, [receipt_id]).fetchone() is None or keys.erased_since(tables, subject, asked_time):
                return
            key = keys.current(tables, subject, now)
            sealed = {"content": key.sealer.seal(to_bytes(sketch), *_place("content", receipt_id))}
            if similarity is not None:
                sealed["similarity"] = key.sealer.seal(_SIMILARITY.pack(similarity), *_place("similarity", receipt_id))
            tables.table("sketches").insert({"receipt_id": receipt_id, "key": key.number, **sealed, "create_time": now})

        await self._database.run(work)

    def of(self, tables: Tables, receipt_id: str) -> Sketch | None:
        """Returns the sketch beside a receipt; None: there is none that can be read. Called within a transaction."""
        opened = self._opened(tables, "content", receipt_id)
        return None if opened is None else from_bytes(opened)

    def similarity(self, tables: Tables, receipt_id: str) -> float | None:
        """Returns how similar a question was to the one whose answer was given; None: that is not known, or is another embedder's word."""
        opened = None if self.of(tables, receipt_id) is None else self._opened(tables, "similarity", receipt_id)
        return None if opened is None else float(*_SIMILARITY.unpack(opened))

    def _opened(self, tables: Tables, column: str, receipt_id: str) -> bytes | None:
        query = f"SELECT key, {column} FROM sketches WHERE receipt_id = ? AND {column} IS NOT NULL"  # noqa: S608 - columns of this module
        row = tables.execute(query, [receipt_id]).fetchone()
        if row is None:
            return None
        try:
            return self._database.keys.held(tables, row[0]).sealer.open(row[1], *_place(column, receipt_id))
        except Unreadable:
            return None


def _place(column: str, receipt_id: str) -> tuple[str, ...]:
    return "sketches", column, receipt_id
