"""A lock that one process of the hub holds for as long as it is there. PostgreSQL alone.

It belongs to a connection of its own. PostgreSQL ends one that says nothing for a few seconds, so that a process which stands still, or is
cut off, does not keep the lock; a half-open connection would keep it for hours otherwise.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Never

import psycopg
import structlog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something is said; seconds.

    Args:
        again: those who do not hold the lock try again after so long, and who holds it says that it is there.
        silent: who has said nothing for so long holds it no more.
        answer: that PostgreSQL is given.
    """

    again: float = 2.0
    silent: float = 10.0
    answer: float = 3.0


async def hold(arguments: Mapping[str, Any], lock: int, tell: Callable[[bool], None], pace: Pace) -> Never:
    """Tells whether this process holds the lock, whenever that changes, until cancelled.

    Args:
        arguments: psycopg's, of the database.
        lock: an advisory lock's number.
        tell: called with whether it is held.
        pace: how often something is said.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**arguments, autocommit=True) as connection:
                await connection.execute(f"SET idle_session_timeout = {round(pace.silent * 1000)}")
                await _stay(connection, lock, tell, pace)
        except (psycopg.Error, TimeoutError) as error:
            _log.warning("no lock can be held", error=type(error).__name__)
        finally:
            tell(False)
        await asyncio.sleep(pace.again)


async def _stay(connection: psycopg.AsyncConnection[Any], lock: int, tell: Callable[[bool], None], pace: Pace) -> Never:
    is_held = False
    while True:
        async with asyncio.timeout(pace.answer):
            if is_held:
                await connection.execute("SELECT 1")
            else:
                cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [lock])
                row = await cursor.fetchone()
                is_held = bool(row and row[0])
                tell(is_held)
        await asyncio.sleep(pace.again)
