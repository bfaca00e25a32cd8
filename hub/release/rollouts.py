"""Rollouts, as operators make and move them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from contract.errors import Conflict, NotFound, NotPossibleNow, Reason
from hub.clock import Clock
from hub.fleet.events import Journal
from hub.fleet.lifecycle import MAX_REASON_CHARACTERS, check_etag
from hub.release.engine import CHANGED, advance
from hub.release.plan import read_plan, split_version, wanted_of
from hub.release.progress import Progress, progress_of
from hub.release.rules import Standing, new_standing
from hub.release.standing import StoredFacts, moved, plan_of, standing_of
from hub.store import rollout_agents, rollouts
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.rollout_agents import RolloutAgentRecord
from hub.store.rollout_states import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    PAUSED,
    ROLLED_BACK,
    ROLLING_BACK,
    UNFINISHED,
    WAITING_FOR_APPROVAL,
)
from hub.store.rollouts import RolloutRecord
from hub.store.signals import Topic, signal
from seawall.hub.v1 import rollout_pb2

CREATED = "ROLLOUT_CREATED"

WATCH_SECONDS = 5.0
"""One who watches sees what time alone has changed, such as who is stuck, within so long."""

IsPublished = Callable[[Connection, str, str], bool]
"""Says whether a version of a model can be had."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A rollout, and how far its waves are."""

    record: RolloutRecord
    progress: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class By:
    """Who moves a rollout, and why.

    Args:
        actor: a SPIFFE id.
        reason: kept in the event.
        etag: the current one; empty: any.
    """

    actor: str
    reason: str = ""
    etag: str = ""


class Rollouts:
    """All rollouts.

    Args:
        database: where they are kept.
        journal: told of changes.
        is_published: looks whether a version can be had.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, is_published: IsPublished, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._is_published = is_published
        self._clock = clock
        self._changed = asyncio.Event()

    async def get(self, rollout_id: str) -> Shown:
        """Returns one rollout.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
        """
        return await self._database.read(partial(self._show, rollout_id))

    async def page(self, before: int | None, size: int) -> list[Shown]:
        """Returns at most `size` rollouts, the newest first, behind the number `before`."""

        def work(connection: Connection) -> list[Shown]:
            return [self._shown(record, connection) for record in rollouts.page(connection, before, size)]

        return await self._database.read(work)

    async def agents(
        self, rollout_id: str, after: str, size: int, states: Collection[str]
    ) -> tuple[list[RolloutAgentRecord], frozenset[str]]:
        """Returns at most `size` agents behind an id that a rollout has chosen, and the ids of those that are stuck.

        Args:
            rollout_id: which.
            after: begins behind this id; empty: with the first.
            size: at most so many.
            states: of reports; none: any.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
        """
        now = self._clock()

        def work(connection: Connection) -> tuple[list[RolloutAgentRecord], frozenset[str]]:
            plan = plan_of(_find(rollout_id, connection))
            found = rollout_agents.page(connection, rollout_id, after, size, states)
            stuck = (one.agent_id for one in found if one.is_stuck(now - plan.waves[one.wave].patience))
            return found, frozenset(stuck)

        return await self._database.read(work)

    async def create(self, rollout_id: str, message: rollout_pb2.Rollout, request_id: str, actor: str) -> Shown:
        """Begins a rollout. The same request again returns what it made.

        Raises:
            Conflict: ROLLOUT_EXISTS.
            NotFound: RELEASE_NOT_FOUND, the version was not published.
            NotPossibleNow: ROLLOUT_ACTIVE.
            InvalidRequest: NAME_INVALID, FILTER_INVALID, FIELD_INVALID.
        """
        wanted = wanted_of(message).SerializeToString(deterministic=True)
        standing, now = new_standing(read_plan(rollout_id, wanted)), self._clock()
        model, version = split_version(message.model_version)
        blank = RolloutRecord(
            rollout_id, model, wanted, standing.state, (), tuple(0 for _ in standing.times), actor, now, now, request_id=request_id
        )
        new = replace(moved(blank, replace(standing, mover=actor), now), revision=1)

        def work(connection: Connection) -> tuple[Shown, list[NewEvent]]:
            before = rollouts.get(connection, rollout_id)
            if before is not None:
                if (before.wanted, before.request_id) != (wanted, request_id):
                    raise Conflict(Reason.ROLLOUT_EXISTS, f"There is a rollout {rollout_id} already: choose another id.")
                return self._shown(before, connection), []
            self._check_room(connection, model, version)
            rollouts.insert(connection, new)
            happened = [NewEvent(now, CREATED, f"rollouts/{rollout_id}", actor, f"{message.model_version}, {len(new.times)} waves.")]
            happened += advance(connection, _find(rollout_id, connection), now, None)
            return self._show(rollout_id, connection), happened

        return await self._journal.write(work)

    async def pause(self, rollout_id: str, by: By) -> Shown:
        """Chooses no more agents until it is resumed.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
            NotPossibleNow: ROLLOUT_STATE.
            Superseded: ETAG_MISMATCH.
        """
        return await self._move(rollout_id, by, lambda standing: _to(standing, PAUSED, (ACTIVE, WAITING_FOR_APPROVAL)))

    async def resume(self, rollout_id: str, by: By) -> Shown:
        """Goes on with a paused rollout; what had paused it by itself is forgiven.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
            NotPossibleNow: ROLLOUT_STATE.
            Superseded: ETAG_MISMATCH.
        """

        def change(standing: Standing) -> Standing:
            if standing.state == WAITING_FOR_APPROVAL:
                return standing
            after = _to(standing, ACTIVE, (PAUSED,))
            return after if after == standing or standing.mover else replace(after, forgiven_wave=standing.current_wave)

        return await self._move(rollout_id, by, change)

    async def approve(self, rollout_id: str, wave: int, by: By) -> Shown:
        """Lets the wave begin that waits for a person.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
            NotPossibleNow: ROLLOUT_STATE.
            Superseded: ETAG_MISMATCH.
        """

        def change(standing: Standing) -> Standing:
            if 0 <= wave < standing.begun_waves or 0 <= wave <= standing.approved_wave:
                return standing
            if wave != standing.current_wave:
                raise _not_now(f"wave {wave} is not the one that waits; it is {standing.state} at wave {standing.current_wave}")
            return replace(_to(standing, ACTIVE, (WAITING_FOR_APPROVAL,)), approved_wave=wave)

        return await self._move(rollout_id, by, change)

    async def cancel(self, rollout_id: str, by: By) -> Shown:
        """Ends a rollout where it stands.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
            NotPossibleNow: ROLLOUT_STATE.
            Superseded: ETAG_MISMATCH.
        """
        return await self._move(rollout_id, by, lambda standing: _to(standing, CANCELLED, (ACTIVE, WAITING_FOR_APPROVAL, PAUSED)))

    async def roll_back(self, rollout_id: str, by: By) -> Shown:
        """Has every agent that took the version go back.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
            NotPossibleNow: ROLLOUT_STATE.
            Superseded: ETAG_MISMATCH.
        """

        def change(standing: Standing) -> Standing:
            if standing.state == ROLLED_BACK:
                return standing
            return _to(standing, ROLLING_BACK, (ACTIVE, WAITING_FOR_APPROVAL, PAUSED, COMPLETED, CANCELLED))

        return await self._move(rollout_id, by, change)

    async def watch(self, rollout_id: str) -> AsyncGenerator[Shown, None]:
        """Yields a rollout, now and whenever something of it is different, until it has ended.

        Raises:
            NotFound: ROLLOUT_NOT_FOUND.
        """
        before: Shown | None = None
        while True:
            changed = self._changed
            shown = await self.get(rollout_id)
            if shown != before:
                yield shown
                before = shown
            if shown.record.state not in UNFINISHED:
                return
            await _wait(changed)

    def wake(self) -> None:
        """Wakes all who watch, since something of a rollout was kept by this process or another."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _move(self, rollout_id: str, by: By, change: Callable[[Standing], Standing]) -> Shown:
        """Moves a rollout, and does all that follows from it, in one transaction."""
        now, reason = self._clock(), by.reason[:MAX_REASON_CHARACTERS]

        def work(connection: Connection) -> tuple[Shown, list[NewEvent]]:
            record = _find(rollout_id, connection)
            check_etag(by.etag, record.revision)
            before = standing_of(record)
            after = change(before)
            if after == before:
                return self._shown(record, connection), []
            if after.state == ROLLING_BACK:
                _check_newest(connection, record)
            record = moved(record, replace(after, mover=by.actor, reason=reason), now)
            rollouts.replace(connection, record)
            signal(connection, Topic.ROLLOUTS)
            said = NewEvent(now, CHANGED, f"rollouts/{rollout_id}", by.actor, f"{after.state}{': ' + reason if reason else '.'}")
            return self._after(connection, record, now, said)

        return await self._journal.write(work)

    def _after(self, connection: Connection, record: RolloutRecord, now: datetime, said: NewEvent) -> tuple[Shown, list[NewEvent]]:
        happened = [said, *advance(connection, record, now, None)]
        return self._show(record.rollout_id, connection), happened

    def _check_room(self, connection: Connection, model: str, version: str) -> None:
        if not self._is_published(connection, model, version):
            raise NotFound(
                Reason.RELEASE_NOT_FOUND,
                f"models/{model}/versions/{version} is not published: publish it first, or see seawall-hub releases list.",
            )
        other = rollouts.of_model(connection, model, UNFINISHED)
        if other is not None:
            raise NotPossibleNow(
                Reason.ROLLOUT_ACTIVE,
                f"rollouts/{other.rollout_id} of this model is {other.state}: wait for its end, cancel it or roll it back.",
            )

    def _show(self, rollout_id: str, connection: Connection) -> Shown:
        return self._shown(_find(rollout_id, connection), connection)

    def _shown(self, record: RolloutRecord, connection: Connection) -> Shown:
        return Shown(record, progress_of(standing_of(record), StoredFacts(connection, record, self._clock()).told(), record.members))


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(WATCH_SECONDS):
            await changed.wait()
    except TimeoutError:
        return


def _find(rollout_id: str, connection: Connection) -> RolloutRecord:
    record = rollouts.get(connection, rollout_id)
    if record is None:
        raise NotFound(Reason.ROLLOUT_NOT_FOUND, f"There is no rollout {rollout_id[:80]}. See: seawall-hub rollouts list")
    return record


def _to(standing: Standing, state: str, allowed: Collection[str]) -> Standing:
    """Returns a standing of another state; the same, if it has that state already.

    Raises:
        NotPossibleNow: ROLLOUT_STATE.
    """
    if standing.state == state:
        return standing
    if standing.state not in allowed:
        raise _not_now(f"it is {standing.state}, and only one that is {' or '.join(allowed)} becomes {state}")
    return replace(standing, state=state)


def _check_newest(connection: Connection, record: RolloutRecord) -> None:
    if rollouts.newest_number(connection, record.model) != record.number:
        raise _not_now("a newer rollout of its model was made: roll that one back")


def _not_now(why: str) -> NotPossibleNow:
    return NotPossibleNow(Reason.ROLLOUT_STATE, f"The rollout cannot do that now: {why}.")
