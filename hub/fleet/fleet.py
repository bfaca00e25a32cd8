"""All that the hub knows of its fleet, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Self

from hub.clock import Clock
from hub.config import Limits
from hub.fleet.commands import Commands
from hub.fleet.delivery import LOOK_SECONDS as DELIVERY_LOOK_SECONDS
from hub.fleet.delivery import Delivery
from hub.fleet.directory import Directory
from hub.fleet.events import Journal
from hub.fleet.groups import Groups
from hub.fleet.lifecycle import Lifecycle
from hub.fleet.presence import BEAT_SECONDS, Presence
from hub.fleet.quotas import Quotas
from hub.fleet.reports import Reports
from hub.fleet.sessions import Sessions
from hub.fleet.upkeep import EVENTS_SECONDS, SILENT_HEARTBEATS, STALE_SECONDS, SWEEP_SECONDS, beside, every, once
from hub.release.engine import LOOK_SECONDS, Engine
from hub.release.engine import SWEEP_SECONDS as ROLLOUT_SWEEP_SECONDS
from hub.release.published import is_published
from hub.release.reports import ReleaseReports
from hub.release.rollouts import Rollouts
from hub.store.database import Database
from hub.store.signals import Changes, Topic


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts."""

    database: Database
    directory: Directory
    journal: Journal
    sessions: Sessions
    presence: Presence
    delivery: Delivery
    reports: Reports
    lifecycle: Lifecycle
    groups: Groups
    quotas: Quotas
    commands: Commands
    rollouts: Rollouts
    release_reports: ReleaseReports
    engine: Engine

    @classmethod
    def create(cls, database: Database, limits: Limits, replica_id: str, clock: Clock) -> Self:
        """Builds them.

        Args:
            database: where all is kept.
            limits: of sessions.
            replica_id: of this process of the hub; another at each start.
            clock: the time, in UTC.
        """
        journal = Journal(database, clock)
        sessions = Sessions(limits.sessions)
        delivery = Delivery(database, sessions, replica_id, clock)
        return cls(
            database=database,
            directory=Directory(database, clock),
            journal=journal,
            sessions=sessions,
            presence=Presence(database, journal, sessions, delivery, replica_id, clock),
            delivery=delivery,
            reports=Reports(journal, replica_id, clock),
            lifecycle=Lifecycle(journal, clock),
            groups=Groups(database, journal, clock),
            quotas=Quotas(database, clock),
            commands=Commands(database, journal, clock),
            rollouts=Rollouts(database, journal, is_published, clock),
            release_reports=ReleaseReports(journal, replica_id, clock),
            engine=Engine(database, journal, clock),
        )

    @asynccontextmanager
    async def running(self, limits: Limits) -> AsyncIterator[None]:
        """Does what goes on beside the calls, until the block ends; then writes what was noted."""
        age = timedelta(days=limits.events_days)
        silence_seconds = SILENT_HEARTBEATS * limits.heartbeat_seconds
        await self.presence.start()
        works = (
            partial(self.database.listen, self._react),
            self.delivery.run,
            self.engine.run,
            partial(every, LOOK_SECONDS, self.engine.look),
            partial(every, ROLLOUT_SWEEP_SECONDS, self.engine.sweep),
            partial(every, DELIVERY_LOOK_SECONDS, self.delivery.look),
            partial(every, STALE_SECONDS, partial(self.delivery.end_stale, silence_seconds)),
            partial(every, EVENTS_SECONDS, self.presence.flush),
            partial(every, BEAT_SECONDS, self.presence.beat),
            partial(every, limits.last_seen_seconds, self.directory.flush),
            partial(every, SWEEP_SECONDS, self.commands.expire),
            partial(every, SWEEP_SECONDS, partial(self.journal.forget, age)),
            partial(every, SWEEP_SECONDS, partial(self.commands.forget, age)),
        )
        try:
            async with beside(works):
                yield
        finally:
            for last in (self.directory.flush, self.presence.stop):
                await once(last)

    def _react(self, changes: Changes) -> None:
        """Does, in every process alike, what the writes of any of them ask for."""
        if Topic.EVENTS in changes:
            self.journal.wake()
        if Topic.AGENTS in changes:
            self.delivery.mark(changes[Topic.AGENTS])
        if Topic.ROLLOUTS in changes:
            self.engine.mark(changes[Topic.ROLLOUTS])
            self.rollouts.wake()
