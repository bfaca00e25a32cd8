"""The agent's one SQLite file: write-ahead log, synced at every commit, one thread of this process that touches it."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

import sqlite_utils
import structlog

from agent.state import StateFolder
from agent.store.clear_rows import seal_clear_rows
from agent.store.migrations import migrate
from agent.store.scrubbing import scrub, want_scrubbing
from agent.store.subjects import SubjectKeys
from contract.errors import Reason, Unavailable

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=30000",  # seawall-agent forget writes the whole file anew, beside the running agent
    "secure_delete=ON",
    "temp_store=MEMORY",
)
_MAX_TRIES = 5
"""Of a transaction that began to read before another process wrote. Only seawall-agent forget does."""


class Database:
    """The store. Opens the file, brings its tables up to date, and runs each piece of work as one transaction.

    `keys` seal what lies in it. `key_fits` says whether it was sealed under this key; if not, nothing that lies in it opens.

    Args:
        path: the file; its folder must exist. Made with mode 0600.
        data_key: the device's, 32 bytes; None: the one that lies beside the file, made where there is none.

    Raises:
        sqlite3.DatabaseError: the file cannot be used, is no database, or was made by a newer version.
        NotPossibleNow: CONFIG_INVALID, the key cannot be read.
    """

    def __init__(self, path: Path, data_key: bytes | None = None) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        with ExitStack() as undo:
            undo.callback(self._executor.shutdown)
            self._database, self.keys, self.key_fits = self._executor.submit(_open, path, data_key).result()
            undo.pop_all()

    async def run(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        """Runs work in one transaction. When this returns, what it wrote is on the disk.

        Args:
            work: called in the store's thread; if it raises, nothing of it is kept. Called again where another process was in its way.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transaction, work)

    def run_now(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        """Runs work as `run` does, and blocks: for a thread that is not the loop's.

        Args:
            work: as there.
        """
        return self._executor.submit(self._transaction, work).result()

    def forget_pages(self) -> None:
        """Gives back the memory of pages that were read, where they were many that nobody will ask for soon. Blocks as `run_now` does."""
        self._executor.submit(self._database.execute, "PRAGMA shrink_memory").result()

    async def scrub(self) -> None:
        """Leaves nothing in the file and its log of what was deleted.

        Raises:
            sqlite3.OperationalError: another process has held the file for too long; the next start does it.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, scrub, self._database)

    def _transaction(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        for _ in range(_MAX_TRIES - 1):
            try:
                with self._database.atomic():
                    return work(self._database)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY_SNAPSHOT:
                    raise
        with self._database.atomic():
            return work(self._database)

    def close(self) -> None:
        """Ends the thread and closes the file."""
        self._executor.submit(self._database.close).result()
        self._executor.shutdown()


def _open(path: Path, data_key: bytes | None) -> tuple[sqlite_utils.Database, SubjectKeys, bool]:
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from error
    with ExitStack() as undo:
        connection = undo.enter_context(closing(sqlite3.connect(path)))
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        database = sqlite_utils.Database(connection)
        keys = SubjectKeys(data_key or StateFolder(path.parent).data_key())
        with database.atomic():
            migrate(database)
            if seal_clear_rows(database, keys):
                want_scrubbing(database)
            fits = keys.fit(database)
        _scrub_if_possible(database)
        undo.pop_all()
    return database, keys, fits


def _scrub_if_possible(database: sqlite_utils.Database) -> None:
    """Ends what a power cut has interrupted. A full disk does not keep the agent from starting: `agent.store.retention` tries again."""
    try:
        scrub(database)
    except sqlite3.OperationalError as error:
        _log.error("store_not_scrubbed", error=str(error), advice="make room on the disk: what was forgotten is still in the file, sealed")


def unusable(error: Exception) -> Unavailable:
    """Returns what a store says that its disk lets down."""
    return Unavailable(
        Reason.STORE_UNAVAILABLE, f"The agent's store cannot be used ({error}): see whether its disk is full, and try again."
    )
