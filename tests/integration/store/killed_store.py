"""Work on a store in a process of its own that dies before one of its statements, as if it were killed there."""

import asyncio
import os
from itertools import count
from pathlib import Path

from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject
from tests.fakes.commands import processes

KILLED = 9


def forget_and_die(file: Path, subject: Subject, now: float, statements: int) -> bool:
    """Forgets a subject, and dies before the statement of this number. Returns whether it came so far."""
    process = processes.Process(target=_forget, args=(file, subject, now, statements))
    process.start()
    process.join()
    assert process.exitcode in (0, KILLED)
    return process.exitcode == KILLED


def _forget(file: Path, subject: Subject, now: float, statements: int) -> None:
    database = Database(file)
    numbers = count(1)

    def trace(_statement: str) -> None:
        if next(numbers) == statements:
            os._exit(KILLED)

    async def work() -> None:
        await database.run(lambda tables: tables.conn.set_trace_callback(trace))
        await forget(database, subject, now)

    asyncio.run(work())
    database.close()
