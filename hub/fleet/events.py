"""What happens in the fleet, kept in order and told to those who watch."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from contract.errors import Forgotten, Reason
from hub.clock import Clock
from hub.store import events
from hub.store.database import Database
from hub.store.events import EventRecord, NewEvent

T = TypeVar("T")

PAGE = 500
"""Events read at once for one who watches."""

ALIVE_SECONDS = 20
"""A watch in which nothing happens sends an empty message so often, so that both ends know that it stands."""


class Journal:
    """All events.

    Args:
        database: where they are kept.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.kept: Counter[str] = Counter()
        """Events by type, since this process began."""
        self._changed = asyncio.Event()

    async def write(self, work: Callable[[Connection], tuple[T, Sequence[NewEvent]]]) -> T:
        """Runs work in a transaction, and keeps the events that it returns in the same one.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """

        def both(connection: Connection) -> tuple[T, list[str]]:
            result, happened = work(connection)
            events.append(connection, happened)
            return result, [event.type for event in happened]

        result, happened = await self._database.write(both)
        self.kept.update(happened)
        return result

    async def forget(self, age: timedelta) -> None:
        """Deletes what is older."""
        before = self._clock() - age
        await self._database.write(lambda connection: events.forget(connection, before))

    async def page(self, after: int, size: int) -> list[EventRecord]:
        """Returns at most `size` events behind the sequence `after`, the oldest first."""
        return await self._database.read(lambda connection: events.after(connection, after, size))

    async def watch(self, after: int | None) -> AsyncGenerator[tuple[EventRecord | None, int], None]:
        """Yields events as they happen, each with its sequence; None instead of an event: nothing has happened since.

        Args:
            after: begins behind this sequence; None: with what happens from now on; 0: with the oldest that is kept.

        Raises:
            Forgotten: EVENTS_FORGOTTEN.
        """
        seen = await self._start(after)
        yield None, seen
        while True:
            changed = self._changed
            page = await self.page(seen, PAGE)
            for event in page:
                seen = event.sequence
                yield event, seen
            if not page and not await _happens(changed):
                yield None, seen

    async def _start(self, after: int | None) -> int:
        first, last = await self._database.read(events.bounds)
        if after is None:
            return last
        if after and not first - 1 <= after <= last:
            raise Forgotten(
                Reason.EVENTS_FORGOTTEN,
                f"Events {first} to {last} are kept, and {after} is not where they go on. List the agents anew, then watch from now.",
            )
        return after

    def wake(self) -> None:
        """Wakes all who watch, since events were kept by this process or another: each waits on what was there when it last looked."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _happens(changed: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(ALIVE_SECONDS):
            await changed.wait()
    except TimeoutError:
        return False
    return True
