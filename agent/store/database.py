"""The agent's one SQLite file: write-ahead log, synced at every commit, one thread that touches it."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

import sqlite_utils

from agent.store.migrations import migrate

T = TypeVar("T")


class Database:
    """The store. Opens the file, brings its tables up to date, and runs each piece of work as one transaction.

    Args:
        path: the file; its folder must exist. Made with mode 0600.

    Raises:
        sqlite3.DatabaseError: the file cannot be used, is no database, or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        with ExitStack() as undo:
            undo.callback(self._executor.shutdown)
            self._database = self._executor.submit(_open, path).result()
            undo.pop_all()

    async def run(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        """Runs work in one transaction. When this returns, what it wrote is on the disk.

        Args:
            work: called in the store's thread; if it raises, nothing of it is kept.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transaction, work)

    def _transaction(self, work: Callable[[sqlite_utils.Database], T]) -> T:
        with self._database.atomic():
            return work(self._database)

    def close(self) -> None:
        """Ends the thread and closes the file."""
        self._executor.submit(self._database.close).result()
        self._executor.shutdown()


def _open(path: Path) -> sqlite_utils.Database:
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from error
    with ExitStack() as undo:
        connection = undo.enter_context(closing(sqlite3.connect(path)))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=5000")
        database = sqlite_utils.Database(connection)
        migrate(database)
        undo.pop_all()
    return database
