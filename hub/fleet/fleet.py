"""All that the hub knows of its fleet, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Self

from hub.clock import Clock
from hub.config import Limits
from hub.fleet.commands import Commands
from hub.fleet.delivery import Delivery
from hub.fleet.directory import Directory
from hub.fleet.events import Journal
from hub.fleet.groups import Groups
from hub.fleet.lifecycle import Lifecycle
from hub.fleet.quotas import Quotas
from hub.fleet.reports import Reports
from hub.fleet.sessions import Sessions
from hub.fleet.upkeep import EVENTS_SECONDS, SWEEP_SECONDS, every, forever
from hub.store.database import Database


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts."""

    directory: Directory
    journal: Journal
    sessions: Sessions
    delivery: Delivery
    reports: Reports
    lifecycle: Lifecycle
    groups: Groups
    quotas: Quotas
    commands: Commands

    @classmethod
    def create(cls, database: Database, limits: Limits, clock: Clock) -> Self:
        """Builds them.

        Args:
            database: where all is kept.
            limits: of sessions.
            clock: the time, in UTC.
        """
        journal = Journal(database, clock)
        sessions = Sessions(limits.sessions)
        delivery = Delivery(database, sessions, clock)
        return cls(
            directory=Directory(database, clock),
            journal=journal,
            sessions=sessions,
            delivery=delivery,
            reports=Reports(database, journal, clock),
            lifecycle=Lifecycle(journal, sessions, delivery, clock),
            groups=Groups(database, journal, delivery, clock),
            quotas=Quotas(database, clock),
            commands=Commands(database, journal, delivery, clock),
        )

    @asynccontextmanager
    async def running(self, limits: Limits) -> AsyncIterator[None]:
        """Does what goes on beside the calls, until the block ends; then writes what was noted."""
        age = timedelta(days=limits.events_days)
        tasks = [
            asyncio.create_task(forever(work))
            for work in (
                self.delivery.run,
                partial(every, EVENTS_SECONDS, self.journal.flush),
                partial(every, limits.last_seen_seconds, self.directory.flush),
                partial(every, SWEEP_SECONDS, self.commands.expire),
                partial(every, SWEEP_SECONDS, partial(self.journal.forget, age)),
            )
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.journal.flush()
            await self.directory.flush()
