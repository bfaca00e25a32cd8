"""Rounds: begins them, conducts their cohorts side by side, and keeps what becomes of each.

A round whose process of the hub ends is over: its secrets were in memory. Its agents count as having spent the window.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from contract.errors import NotFound, NotPossibleNow, Reason, SeawallError, Unavailable
from contract.learning import span, windows_over
from contract.secagg.masks import signed
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.usage import SCHEMA_VERSION
from hub.clock import Clock
from hub.config import LearningSettings
from hub.fleet.enrollment import Randomness
from hub.fleet.events import Journal
from hub.fleet.upkeep import every, forever, once
from hub.learning.cohorts import Drawn, Sizes, draw
from hub.learning.conducting import Progress, conduct
from hub.learning.grid import Grid
from hub.learning.planning import Heard, Wanted, begun, candidates, check_fields, checked, make_plan, variance_of
from hub.learning.results import GroupSums, merge
from hub.store import learning
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.learning import FAILED, RUNNING, SUCCEEDED, CohortRecord, RoundRecord

_log = structlog.get_logger(__name__)

BEGUN = "ROUND_BEGUN"
ENDED = "ROUND_ENDED"

SWEEP_SECONDS = 5.0
"""Rounds whose process is gone are looked for this often."""

ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class By:
    """Who asks for a round.

    Args:
        actor: a SPIFFE id; empty: the hub itself.
        request_id: a UUID, the same for each retry.
    """

    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Here:
    """This process of the hub.

    Args:
        replica_id: another at each start.
        clock: the time, in UTC.
        randomness: returns so many bytes that nobody can guess.
        random: draws cohorts, which nobody should foresee.
    """

    replica_id: str
    clock: Clock
    randomness: Randomness
    random: random.Random


class Rounds:
    """All rounds.

    Args:
        database: where they are kept.
        journal: told of them.
        newest_roster: returns the signed one; see `hub.learning.rosters`.
        grid: carries messages to agents; None: this hub asks nobody.
        settings: of learning.
        here: this process.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        newest_roster: Callable[[], Awaitable[Roster]],
        grid: Grid | None,
        settings: LearningSettings,
        here: Here,
    ) -> None:
        self._database = database
        self._journal = journal
        self._newest_roster = newest_roster
        self._grid = grid
        self._settings = settings
        self._here = here
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, round_id: str) -> RoundRecord:
        """Returns one round.

        Raises:
            NotFound: ROUND_NOT_FOUND.
        """
        found = await self._database.read(lambda connection: learning.get(connection, round_id))
        if found is None:
            raise NotFound(Reason.ROUND_NOT_FOUND, f"There is no round {round_id}. See: seawall-hub learning rounds")
        return found

    async def page(self, before: int | None, size: int) -> list[RoundRecord]:
        """Returns at most `size`, the newest first, behind the number `before`."""
        return await self._database.read(lambda connection: learning.page(connection, before, size))

    async def report(self, window: str, group_by: Sequence[str]) -> list[GroupSums]:
        """Returns what was learnt of a window.

        Raises:
            InvalidRequest: FIELD_INVALID.
        """
        check_fields(group_by)
        span(window)
        found = await self._database.read(lambda connection: learning.of_window(connection, window))
        return merge(found, SCHEMA_VERSION, group_by)

    async def create(self, wanted: Wanted, by: By) -> RoundRecord:
        """Begins a round. The same request again returns what it made.

        Raises:
            InvalidRequest: FIELD_INVALID; ROSTER_INVALID, RELEASE_INVALID: of the roster.
            NotPossibleNow: LEARNING_OFF; ROSTER_UNKNOWN, none is published; COHORT_TOO_SMALL, too few agents can be asked.
            Unavailable: the store is away.
        """
        made = await self._database.read(lambda connection: learning.of_request(connection, by.request_id))
        if made is not None:
            return made
        if self._grid is None:
            raise NotPossibleNow(Reason.LEARNING_OFF, "This hub asks agents for nothing: let [learning] enabled be true in hub.toml.")
        return await self._begin(self._grid, checked(wanted, self._here.clock()), by)

    async def look(self) -> None:
        """Begins what is due by itself: for each window that can be reported, a round of the agents that were not asked yet.

        Raises:
            Unavailable: the store is away.
        """
        if self._grid is None or self._running:
            return
        for window in windows_over(self._here.clock()):
            wanted = Wanted(window, self._settings.group_by, self._settings.exact)
            by = By("", str(uuid.UUID(bytes=self._here.randomness(16))))
            try:
                await self._begin(self._grid, wanted, by)
            except Unavailable:
                raise
            except SeawallError as error:
                _log.info("no round is begun", window=window, reason=error.reason)

    async def sweep(self) -> None:
        """Ends the rounds whose process of the hub is gone.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        if await self._database.read(learning.orphaned):
            await self._journal.write(partial(_end_orphaned, self._here.clock()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does what goes on beside the calls, until the block ends. Rounds that run then are over."""
        await once(self.sweep)
        works = [partial(every, SWEEP_SECONDS, self.sweep)]
        if self._settings.enabled:
            works.append(partial(every, self._settings.look_seconds, self.look))
        tasks = [asyncio.create_task(forever(work)) for work in works]
        try:
            yield
        finally:
            for task in (*tasks, *self._running):
                task.cancel()
            await asyncio.gather(*tasks, *self._running, return_exceptions=True)

    async def settle(self) -> None:
        """Waits until no round runs."""
        await asyncio.gather(*self._running)

    async def _begin(self, grid: Grid, wanted: Wanted, by: By) -> RoundRecord:
        roster = await self._newest_roster()
        since = self._here.clock() - timedelta(seconds=self._settings.heard_seconds)
        heard = Heard(roster, frozenset(grid.reachable()), since)
        record, plans = await self._journal.write(partial(self._insert, wanted, by, heard))
        task = asyncio.create_task(self._conduct(record, plans, roster, grid))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return record

    def _insert(
        self, wanted: Wanted, by: By, heard: Heard, connection: Connection
    ) -> tuple[tuple[RoundRecord, tuple[Plan, ...]], list[NewEvent]]:
        """Draws cohorts among those who are there now, and keeps the round before anybody is asked."""
        drawn = self._draw(wanted, by, heard, connection)
        plans = tuple(make_plan(cohort, wanted, heard.roster, self._here.randomness) for cohort in drawn.cohorts)
        cohorts = tuple(begun(cohort, plan, wanted.is_exact) for cohort, plan in zip(drawn.cohorts, plans, strict=True))
        record = RoundRecord(
            round_id=f"{wanted.window.lower()}-{by.request_id[:ID_DIGITS]}",
            window=wanted.window,
            group_by=wanted.group_by,
            is_exact=wanted.is_exact,
            schema_version=SCHEMA_VERSION,
            roster_version=heard.roster.version,
            left_out=drawn.left_out,
            creator=by.actor,
            create_time=self._here.clock(),
            request_id=by.request_id,
            replica_id=self._here.replica_id,
            cohorts=cohorts,
        )
        learning.insert(connection, record, [agent for cohort in drawn.cohorts for agent in cohort.agents])
        detail = f"{wanted.window}: {len(cohorts)} cohorts, {sum(cohort.size for cohort in cohorts)} agents."
        return (record, plans), [NewEvent(record.create_time, BEGUN, f"rounds/{record.round_id}", by.actor, detail)]

    def _draw(self, wanted: Wanted, by: By, heard: Heard, connection: Connection) -> Drawn:
        """The hub by itself asks each agent once for a window, and after the first round only where that is worth another one."""
        asked = learning.asked(connection, wanted.window)
        is_by_itself = not by.actor
        left_out = {agent for agent, is_exposed in asked.items() if is_exposed or is_by_itself}
        found = [one for one in candidates(connection, heard, wanted.group_by) if one[0] not in left_out]
        least = self._settings.cohort if is_by_itself and asked else self._settings.smallest_cohort
        drawn = draw(found, Sizes(least, self._settings.cohort), self._here.random)
        if not drawn.cohorts:
            raise NotPossibleNow(
                Reason.COHORT_TOO_SMALL,
                f"{len(found)} agents can be asked for {wanted.window}, and none of them {least} together: those count that are connected, "
                "in the signed roster with the key they have now, and have not reported it yet.",
            )
        return drawn

    async def _conduct(self, record: RoundRecord, plans: Sequence[Plan], roster: Roster, grid: Grid) -> None:
        ended = await asyncio.gather(*(self._conduct_cohort(record, number, plan, roster, grid) for number, plan in enumerate(plans)))
        state = SUCCEEDED if SUCCEEDED in ended else FAILED
        await self._journal.write(lambda connection: _end(connection, record, state, "", self._here.clock()))

    async def _conduct_cohort(self, record: RoundRecord, number: int, plan: Plan, roster: Roster, grid: Grid) -> str:
        progress = Progress()
        await conduct(plan, roster, grid, self._settings.stage_seconds, progress)
        ended = _ended(record.cohorts[number], progress, plan, record.is_exact)
        spared = set(plan.cohort) - progress.exposed

        def work(connection: Connection) -> None:
            learning.end_cohort(connection, record.round_id, number, ended)
            learning.spare(connection, record.window, spared)

        await self._database.write(work)
        return ended.state


def _ended(cohort: CohortRecord, progress: Progress, plan: Plan, is_exact: bool) -> CohortRecord:
    made = progress.sum
    ended = replace(cohort, stage=progress.stage, lost=dict(progress.lost))
    if made is None:
        return replace(ended, state=FAILED, reason=progress.reason)
    count = len(made.agents)
    return replace(ended, state=SUCCEEDED, contributors=count, variance=variance_of(plan, count, is_exact), sums=signed(made.values))


def _end_orphaned(now: datetime, connection: Connection) -> tuple[None, list[NewEvent]]:
    """Looks once more, now that nobody else writes."""
    happened = []
    for record in learning.orphaned(connection):
        for number, cohort in enumerate(record.cohorts):
            if cohort.state == RUNNING:
                interrupted = replace(cohort, state=FAILED, reason=Reason.ROUND_INTERRUPTED)
                learning.end_cohort(connection, record.round_id, number, interrupted)
        state = SUCCEEDED if any(cohort.state == SUCCEEDED for cohort in record.cohorts) else FAILED
        happened += _end(connection, record, state, Reason.ROUND_INTERRUPTED, now)[1]
    return None, happened


def _end(connection: Connection, record: RoundRecord, state: str, reason: str, now: datetime) -> tuple[None, list[NewEvent]]:
    learning.end(connection, record.round_id, state, reason, now)
    return None, [NewEvent(now, ENDED, f"rounds/{record.round_id}", detail=f"{state}{f': {reason}' if reason else ''}.")]
