"""Moves rollouts: does what the rules say is next, in the store, and looks again when something has changed.

Any process of the hub may do it, at any time. Each looks whether there is anything to do, and again once nobody else writes: a step that
another has done is not there any more.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from contract.errors import Unavailable
from hub.clock import Clock
from hub.fleet.events import Journal
from hub.release.rules import Standing, next_standing
from hub.release.standing import StoredFacts, members, moved, plan_of, standing_of
from hub.release.wishes import choosable, tell, to_take_back
from hub.store import rollouts
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.rollout_states import PAUSED, ROLLING_BACK
from hub.store.rollouts import RolloutRecord
from hub.store.signals import Topic, signal

REST_SECONDS = 0.2
"""Between two looks, so that a thousand reports at once are looked at once."""

LOOK_SECONDS = 3.0
"""Times pass without anybody saying so: soak times, patience, windows."""

SWEEP_SECONDS = 30.0
"""All agents are looked at this often, in case one may be chosen of which nobody said so."""

CHANGED = "ROLLOUT_CHANGED"
STOPPED = "ROLLOUT_STOPPED"
"""A rollout that has paused, or rolls back, by itself."""

_NOBODY: frozenset[str] = frozenset()

_log = structlog.get_logger(__name__)


@dataclass
class _Due:
    """What is to be looked at: rollouts, and whom they may choose."""

    ids: set[str] = field(default_factory=set)
    everyone: bool = False

    def take(self) -> Collection[str] | None:
        ids: Collection[str] | None = None if self.everyone else frozenset(self.ids)
        self.ids, self.everyone = set(), False
        return ids

    def add(self, ids: Collection[str] | None) -> None:
        self.everyone = self.everyone or ids is None
        self.ids.update(ids or ())


class Engine:
    """One task for all rollouts.

    Args:
        database: where they are.
        journal: told of what they do.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._due = _Due()
        self._changed = asyncio.Event()

    def mark(self, ids: Collection[str] | None = _NOBODY) -> None:
        """Says that rollouts are to be looked at, and these agents, whom they may choose; None: all agents."""
        self._due.add(ids)
        self._changed.set()

    async def look(self) -> None:
        """Has rollouts looked at, since time passes."""
        self.mark()

    async def sweep(self) -> None:
        """Has all agents looked at."""
        self.mark(None)

    async def run(self) -> None:
        """Moves rollouts until it is cancelled. What could not be done, since the store is away, is done when it is back."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            ids = self._due.take()
            try:
                await self.move(ids)
            except Unavailable as error:
                self.mark(ids)
                _log.warning("rollouts wait for the store", reason=error.reason)
            except Exception:
                self.mark(ids)  # due for whoever begins it anew
                raise
            await asyncio.sleep(REST_SECONDS)

    async def move(self, ids: Collection[str] | None) -> None:
        """Does all that can be done now.

        Args:
            ids: agents that may be chosen; None: any. A wave that begins may choose any in each case.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        now = self._clock()
        for record in await self._database.read(partial(_due_ones, now, ids)):
            await self._journal.write(partial(_move_one, record.rollout_id, now, ids))


def advance(connection: Connection, record: RolloutRecord, now: datetime, ids: Collection[str] | None) -> list[NewEvent]:
    """Moves a rollout as far as it can go now, as a part of a write. Returns what has happened."""
    happened: list[NewEvent] = []
    told = tell(connection, record, now, ids)
    while (after := next_standing(plan_of(record), before := standing_of(record), StoredFacts(connection, record, now), now)) is not None:
        if _settles(before, after) and (late := tell(connection, record, now, None)):
            told += late  # they are waited for as well: a hub may have died before it chose them
            continue
        record = moved(record, after, now)
        rollouts.replace(connection, record)
        newly_told = tell(connection, record, now, None)
        happened.append(_event(record, before, after, newly_told, now))
        told += newly_told
    if told or happened or ids is None:
        _count_members(connection, record)
    if told or happened:
        signal(connection, Topic.ROLLOUTS)
    return happened


def _settles(before: Standing, after: Standing) -> bool:
    """Whether a wave has no more to wait for."""
    return any(old.settle is None and new.settle is not None for old, new in zip(before.times, after.times, strict=True))


def _move_one(rollout_id: str, now: datetime, ids: Collection[str] | None, connection: Connection) -> tuple[None, list[NewEvent]]:
    record = rollouts.get(connection, rollout_id)
    return None, [] if record is None else advance(connection, record, now, ids)


def _due_ones(now: datetime, ids: Collection[str] | None, connection: Connection) -> list[RolloutRecord]:
    return [record for record in rollouts.living(connection) if _is_due(connection, record, now, ids)]


def _is_due(connection: Connection, record: RolloutRecord, now: datetime, ids: Collection[str] | None) -> bool:
    facts = StoredFacts(connection, record, now)
    if next_standing(plan_of(record), standing_of(record), facts, now) is not None or to_take_back(connection, record):
        return True
    if ids is None and members(connection, record) != record.members:
        return True
    return ids != _NOBODY and bool(choosable(connection, record, now, ids))


def _count_members(connection: Connection, record: RolloutRecord) -> None:
    counted = members(connection, record)
    if counted != record.members:
        rollouts.set_members(connection, record.rollout_id, counted)


def _event(record: RolloutRecord, before: Standing, after: Standing, told: int, now: datetime) -> NewEvent:
    kind = STOPPED if after.state != before.state and after.state in (PAUSED, ROLLING_BACK) else CHANGED
    return NewEvent(now, kind, f"rollouts/{record.rollout_id}", detail=describe(before, after, told))


def describe(before: Standing, after: Standing, told: int) -> str:
    """Returns in a sentence what has happened between two standings."""
    told_too = f" It tells {told} agents." if told else ""
    if after.state != before.state or after.reason != before.reason:
        reason = f": {after.reason}" if after.reason else "."
        return f"{after.state}{reason}{told_too}"
    number = before.current_wave
    if after.current_wave > number:
        return f"Wave {number} is through.{told_too}"
    if before.times[number].begin is None:
        return f"Wave {number} begins.{told_too}"
    return f"Wave {number} is settled.{told_too}"
