"""Sketches of prompts, each beside the receipt of its answer: where the prompt lies, roughly, for sums over the fleet.

A sketch is derived from what was asked. So it is in no receipt, lies sealed under the key of whoever asked, and goes with that key, or with
the receipt, or once its week cannot be reported any more.
"""

from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject
from contract.drift import Sketch, from_bytes, to_bytes
from contract.learning import WINDOWS_KEPT

SKETCH_SECONDS = (WINDOWS_KEPT + 1) * 7 * 24 * 3600.0
"""How long one is kept: through its own week, and those in which that can be reported."""


class SketchStore:
    """The table `sketches`.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, receipt_id: str, sketch: Sketch, subject: Subject, asked_time: float, now: float) -> None:
        """Keeps a sketch, if its answer may be counted and who asked was not forgotten meanwhile.

        Args:
            receipt_id: of the answer.
            sketch: of its prompt.
            subject: who asked.
            asked_time: when the prompt came, POSIX time, seconds.
            now: POSIX time, seconds.
        """
        keys = self._database.keys

        def work(tables: Tables) -> None:
            query = "SELECT 1 FROM receipts WHERE receipt_id = ? AND may_learn = 1"
            if tables.execute(query, [receipt_id]).fetchone() is None or keys.erased_since(tables, subject, asked_time):
                return
            key = keys.current(tables, subject, now)
            sealed = key.sealer.seal(to_bytes(sketch), *_place(receipt_id))
            row = {"receipt_id": receipt_id, "key": key.number, "content": sealed, "create_time": now}
            tables.table("sketches").insert(row)

        await self._database.run(work)

    def of(self, tables: Tables, receipt_id: str) -> Sketch | None:
        """Returns the sketch beside a receipt; None: there is none that can be read. Called within a transaction."""
        row = tables.execute("SELECT key, content FROM sketches WHERE receipt_id = ?", [receipt_id]).fetchone()
        if row is None:
            return None
        try:
            return from_bytes(self._database.keys.held(tables, row[0]).sealer.open(row[1], *_place(receipt_id)))
        except Unreadable:
            return None


def _place(receipt_id: str) -> tuple[str, ...]:
    return "sketches", "content", receipt_id
