"""The hub's database, kept off the event loop, in threads.

Writes that wait at the same time share one transaction, each in a savepoint of its own: a thousand at once cost a few trips to the disk.
None returns before its transaction is on the disk.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from contract.errors import NotPossibleNow, Reason, Unavailable

T = TypeVar("T")

THREADS = 4
"""Work runs in as many threads. SQLite takes one writer at a time, readers beside it."""

MAX_BATCH = 500
"""Writes in one transaction."""

_BUSY_SECONDS = 5


class Database:
    """The store.

    Args:
        engine: an engine whose tables are up to date.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    @classmethod
    def open(cls, url: str | URL) -> Self:
        """Connects and brings the tables up to date. Blocks.

        Args:
            url: SQLAlchemy's.

        Raises:
            NotPossibleNow: CONFIG_INVALID, there is no such database, or a newer version made it.
        """
        try:
            engine = _create_engine(url)
            with engine.connect() as connection:
                _migrate(connection)
        except (ArgumentError, NoSuchModuleError, DatabaseError, CommandError, ImportError) as error:
            shown = str(url).rpartition("@")[2]  # no password
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                f"The database {shown} cannot be used ({type(error).__name__}): check database_url, or install the version that made it.",
            ) from error
        return cls(engine)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs work that changes nothing.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        return await self._run(self._engine, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Runs work in a transaction that is on the disk when this returns; if the work raises, nothing of it is kept.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        asked: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append((work, asked))
        if len(self._asked) == 1 and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_asked())
        return await asked

    async def _write_asked(self) -> None:
        while self._asked:
            batch, self._asked = self._asked[:MAX_BATCH], self._asked[MAX_BATCH:]
            engine = self._engine.execution_options(writes=True)
            try:
                outcomes = await self._run(engine, partial(_attempt_all, [work for work, _ in batch]))
            except Exception as error:  # noqa: BLE001  # raised where the work was asked for, or they would wait for ever
                outcomes = [(None, error)] * len(batch)
            for (_, asked), (result, failure) in zip(batch, outcomes, strict=True):
                if asked.done():
                    continue  # who asked has left
                if failure is None:
                    asked.set_result(result)
                else:
                    asked.set_exception(failure)

    async def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _transaction, engine, work)

    def close(self) -> None:
        """Waits for what is running, then lets go of the database."""
        self._executor.shutdown()
        self._engine.dispose()


def _attempt_all(works: list[Callable[[Connection], Any]], connection: Connection) -> list[tuple[Any, BaseException | None]]:
    return [_attempt(work, connection) for work in works]


def _attempt(work: Callable[[Connection], Any], connection: Connection) -> tuple[Any, BaseException | None]:
    """Runs one piece of work so that it fails alone, but for a database that is away, which fails all."""
    try:
        with connection.begin_nested():
            return work(connection), None
    except OperationalError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it is raised where the work was asked for
        return None, error


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except OperationalError as error:
        raise Unavailable(Reason.HUB_UNAVAILABLE, "The hub's store cannot be reached now. Try again in a while.") from error


def _create_engine(url: str | URL) -> Engine:
    engine = sqlalchemy.create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Our own BEGIN, since sqlite3's comes too late to lock for a read that precedes a write."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
