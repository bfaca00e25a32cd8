"""The hub's database, kept off the event loop, in threads.

Writes that wait at the same time share one transaction, each in a savepoint of its own: a thousand at once cost a few trips to the disk.
None returns before its transaction is on the disk.
"""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Never, Self, TypeVar

from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError

from contract.errors import NotPossibleNow, Reason, Unavailable
from hub.store import holding, signals
from hub.store.engines import connection_arguments, create_engine, for_reading, for_writing, is_away, is_shared
from hub.store.holding import Pace
from hub.store.schema import migrate
from hub.store.signals import Changes, React

T = TypeVar("T")

THREADS = 4
"""Work runs in as many threads. There is one writer at a time, readers beside it."""

MAX_BATCH = 500
"""Writes in one transaction."""

_WORK = "work"
"""The savepoint of each piece of work."""


class Database:
    """The store.

    Args:
        engine: an engine whose tables are up to date.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._react: React = _ignore
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
            engine = _open(url)
        except (ArgumentError, NoSuchModuleError, DatabaseError, CommandError, ImportError) as error:
            shown = str(url).rpartition("@")[2]  # no password
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                f"The database {shown} cannot be used ({type(error).__name__}): check database_url, or install the version that made it.",
            ) from error
        return cls(engine)

    @property
    def is_shared(self) -> bool:
        """Whether several processes of the hub may serve from this database at once."""
        return is_shared(self._engine)

    async def listen(self, react: React) -> Never:
        """Calls `react` with what writes have signalled, until cancelled: writes of every process where the database is shared."""
        if self.is_shared:
            await signals.listen(connection_arguments(self._engine), react, random.Random())  # noqa: S311  # delays are no secret
        self._react = react
        try:
            react(signals.EVERYTHING)
            await asyncio.Event().wait()
        finally:
            self._react = _ignore
        raise AssertionError("waits for ever")

    async def hold(self, lock: int, tell: Callable[[bool], None], pace: Pace = Pace()) -> Never:  # noqa: B008  # it is frozen
        """Tells whether this process is the one that holds a lock, whenever that changes, until cancelled.

        Where the database is not shared there is but one process, which holds it.

        Args:
            lock: of `hub.store.engines`.
            tell: called with whether it is held.
            pace: how often something is said.
        """
        if self.is_shared:
            await holding.hold(connection_arguments(self._engine), lock, tell, pace)
        tell(True)
        try:
            await asyncio.Event().wait()
        finally:
            tell(False)
        raise AssertionError("waits for ever")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs work that changes nothing.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        return await self._run(for_reading(self._engine), work)

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
            changes: Changes = {}
            try:
                outcomes, changes = await self._run(for_writing(self._engine), partial(_attempt_all, [work for work, _ in batch]))
            except Exception as error:  # noqa: BLE001  # raised where the work was asked for, or they would wait for ever
                outcomes = [(None, error)] * len(batch)
            for (_, asked), (result, failure) in zip(batch, outcomes, strict=True):
                if asked.done():
                    continue  # who asked has left
                if failure is None:
                    asked.set_result(result)
                else:
                    asked.set_exception(failure)
            if changes and not self.is_shared:
                self._react(changes)

    async def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _transaction, engine, work)

    def close(self) -> None:
        """Waits for what is running, then lets go of the database."""
        self._executor.shutdown()
        self._engine.dispose()


def _open(url: str | URL) -> Engine:
    engine = create_engine(url)
    try:
        migrate(engine)
    except Exception:
        engine.dispose()
        raise
    return engine


def _attempt_all(
    works: list[Callable[[Connection], Any]], connection: Connection
) -> tuple[list[tuple[Any, BaseException | None]], Changes]:
    signals.forget(connection, 0)
    outcomes = [_attempt(work, connection) for work in works]
    changes = signals.take(connection)
    if is_shared(connection.engine):
        signals.notify(connection, changes)
    return outcomes, changes


def _attempt(work: Callable[[Connection], Any], connection: Connection) -> tuple[Any, BaseException | None]:
    """Runs one piece of work so that it fails alone, but for a database that is away, which fails all."""
    said = signals.mark(connection)
    connection.exec_driver_sql(f"SAVEPOINT {_WORK}")  # by hand: SQLAlchemy's own nested transactions take longer than the work
    try:
        outcome: tuple[Any, BaseException | None] = work(connection), None
    except Exception as error:  # whatever it is, it is raised where the work was asked for
        if isinstance(error, DBAPIError) and is_away(error):
            raise
        connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_WORK}")
        signals.forget(connection, said)
        outcome = None, error
    connection.exec_driver_sql(f"RELEASE SAVEPOINT {_WORK}")
    return outcome


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except DBAPIError as error:
        if not is_away(error):
            raise
        raise Unavailable(Reason.HUB_UNAVAILABLE, "The hub's store cannot be reached now. Try again in a while.") from error


def _ignore(_changes: Changes) -> None:
    """Before anybody listens."""
