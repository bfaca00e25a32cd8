"""What is too old is deleted each hour, whether or not anybody asks; keys under which nothing lies any more are destroyed."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import structlog
from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.subjects import SEALED_TABLES

_log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 3600.0
_KEY_SECONDS = 24 * 3600.0
_TOLD_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Ages:
    """How long rows are kept, in seconds. Those of the inbox and the outbox say it themselves."""

    answers: float
    turns: float
    vault: float
    classes: float
    sketches: float


class Retention:
    """Keeps the store to what may be in it.

    Args:
        database: the store.
        ages: how old what may become.
        clock: returns the time, UTC.
    """

    def __init__(self, database: Database, ages: Ages, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._ages = ages
        self._clock = clock
        self._lost: tuple[int, float] | None = None

    @property
    def trouble(self) -> str:
        """What was lost with a key in the last seven days; empty: nothing."""
        if self._lost is None or self._lost[1] < self._clock().timestamp() - _TOLD_SECONDS:
            return ""
        rows, time = self._lost
        return (
            f"The store was sealed under another key than this device has: {rows} rows could not be opened and were dropped "
            f"({datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}Z). Keep a backup of data.key; see the runbook on sealing."
        )

    async def start(self) -> None:
        """Drops what was sealed under a key that is lost, so that the agent goes on answering, and says so.

        Prompts in the inbox stay: who asked is told that they are lost. A disk that takes no writes puts it off to the next start.
        """
        try:
            if not self._database.key_fits:
                await self._database.run(self._adopt)
            self._lost = await self._database.run(_lost)
        except sqlite3.DatabaseError as error:
            _log.error("store_not_taken_over", error=str(error))
        if self.trouble:
            _log.error("sealed_rows_lost", advice=self.trouble)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            try:
                await self._database.run(self.sweep)
                await self._database.scrub()
            except sqlite3.DatabaseError as error:
                _log.error("store_not_swept", error=str(error))
            await asyncio.sleep(_SWEEP_SECONDS)

    def sweep(self, tables: Tables) -> None:
        """Deletes what is too old, and keys that are a day old and hold nothing."""
        now = self._clock().timestamp()
        for table, age_seconds in asdict(self._ages).items():
            tables.execute(f"DELETE FROM {table} WHERE create_time < ?", [now - age_seconds])  # noqa: S608 - the names of Ages
        tables.execute("DELETE FROM outbox WHERE expire_time <= ?", [now])
        _destroy_empty_keys(tables, now - _KEY_SECONDS)
        tables.execute("DELETE FROM erasures WHERE scrubbed = 1 AND erase_time < ?", [now - _TOLD_SECONDS])

    def _adopt(self, tables: Tables) -> None:
        dropped = sum(int(tables.execute(f"DELETE FROM {table}").rowcount) for table in SEALED_TABLES if table != "inbox")  # noqa: S608
        kept = tables.table("inbox").count_where("payload <> x'' OR answer <> x''")
        _destroy_empty_keys(tables, float("inf"))
        self._database.keys.adopt(tables, dropped + kept, self._clock().timestamp())


def _destroy_empty_keys(tables: Tables, made_before: float) -> None:
    used = " UNION ".join(f"SELECT key FROM {table}" for table in SEALED_TABLES)  # noqa: S608 - names of ours
    tables.execute(f"DELETE FROM subject_keys WHERE create_time < ? AND key NOT IN ({used})", [made_before])  # noqa: S608


def _lost(tables: Tables) -> tuple[int, float] | None:
    rows, time = tables.execute("SELECT lost_rows, lost_time FROM sealing").fetchone()
    return None if time is None else (int(rows), float(time))
