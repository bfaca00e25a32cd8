"""Conducts the rounds that are asked for, in one process of the hub: draws cohorts, has each round carried out, keeps what becomes of it.

A round whose process of the hub ends is over: its secrets were in memory. Its agents count as having spent the window.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from contract.errors import NotPossibleNow, Reason, SeawallError, Unavailable
from contract.learning import noise_of, rho_of, windows_over
from contract.secagg.masks import signed
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from hub.config import LearningSettings
from hub.fleet.events import Journal
from hub.fleet.upkeep import Work, beside, every, once
from hub.learning.cohorts import Cohort
from hub.learning.conducting import Progress, conduct
from hub.learning.grid import Grid
from hub.learning.planning import Drawing, Wanted, make_plan
from hub.learning.rounds import By, Here, Rounds
from hub.store import learning, replicas
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.learning import FAILED, PENDING, RUNNING, SUCCEEDED, CohortRecord, RoundRecord

Gather = Callable[[Collection[str]], AbstractAsyncContextManager[Grid]]
"""Brings agents together for a round, and lets them go at its end. Those who have come are reachable."""

ENDED = "ROUND_ENDED"
GATHERED = "GATHERED"
"""The stage before the first: agents come."""

SWEEP_SECONDS = 5.0
"""Rounds whose process is gone are looked for this often, and rounds that another process was asked for."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What rounds are conducted with.

    Args:
        gather: brings agents together.
        newest_roster: returns the signed one.
        holds_role: says whether this process is the one that conducts rounds now.
    """

    gather: Gather
    newest_roster: Callable[[], Awaitable[Roster]]
    holds_role: Callable[[], bool] = lambda: True


class _Taken(Exception):
    """Another process of the hub, which thought that it has the role too, conducts the round."""


class Conductor:
    """The one of a hub.

    Args:
        database: where rounds are kept.
        journal: told of them.
        rounds: that are asked for.
        means: what with.
        settings: of learning.
        here: this process.
    """

    def __init__(self, database: Database, journal: Journal, rounds: Rounds, means: Means, settings: LearningSettings, here: Here) -> None:
        self._database = database
        self._journal = journal
        self._rounds = rounds
        self._means = means
        self._settings = settings
        self._here = here
        self._due = asyncio.Event()
        self._conducted = ""
        rounds.created = self._due.set

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does what is due, until the block ends. A round that runs then is over."""
        await once(self.sweep)
        works: list[Work] = [self._run, partial(every, SWEEP_SECONDS, self.sweep), partial(every, SWEEP_SECONDS, self._wake)]
        if self._settings.enabled:
            works.append(partial(every, self._settings.look_seconds, self.look))
        async with beside(works):
            yield

    async def look(self) -> None:
        """Asks for the rounds that are due by themselves: for each window that can be reported, of agents that were not asked yet.

        Raises:
            Unavailable: the store is away.
        """
        if not self._means.holds_role() or self._conducted or await self._database.read(learning.next_pending) is not None:
            return  # what is asked for already is asked once
        for window in windows_over(self._here.clock()):
            by = By("", str(uuid.UUID(bytes=self._here.randomness(16))))
            try:
                await self._rounds.create(Wanted(window, self._settings.group_by, self._settings.exact), by)
            except Unavailable:
                raise
            except SeawallError as error:
                _log.info("no round is begun", window=window, reason=error.reason)

    async def sweep(self) -> None:
        """Ends the rounds that nobody conducts any more: their process of the hub is gone, or the store was away when they ended.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        if await self._database.read(self._abandoned):
            await self._journal.write(self._end_abandoned)

    async def conduct_pending(self) -> None:
        """Conducts the rounds that are asked for, one after the other.

        Raises:
            Unavailable: the store is away.
        """
        while self._means.holds_role() and (record := await self._database.read(learning.next_pending)) is not None:
            await self._conduct(record)

    async def _wake(self) -> None:
        self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await once(self.conduct_pending)

    async def _conduct(self, record: RoundRecord) -> None:
        self._conducted = record.round_id  # before it is written that it runs: a sweep would end what nobody conducts
        try:
            await self._conduct_begun(record)
        finally:
            self._conducted = ""

    async def _conduct_begun(self, record: RoundRecord) -> None:
        try:
            roster = await self._means.newest_roster()
            begun, cohorts = await self._database.write(partial(self._begin, record, roster))
        except _Taken:
            return
        except Unavailable:
            raise
        except SeawallError as error:
            await self._end(record, FAILED, error.reason)
            return
        works = (self._conduct_cohort(begun, number, cohort, roster) for number, cohort in enumerate(cohorts))
        ended = await asyncio.gather(*works, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        await self._end(record, SUCCEEDED if SUCCEEDED in ended else FAILED, "")

    def _begin(self, record: RoundRecord, roster: Roster, connection: Connection) -> tuple[RoundRecord, Sequence[Cohort]]:
        """Draws cohorts among those who are there now, and keeps the round before anybody is asked."""
        if learning.state_of(connection, record.round_id) != PENDING:
            raise _Taken
        drawing = Drawing(roster, self._settings, self._here.clock(), self._here.random, not record.creator)
        drawn = drawing.draw(connection, Wanted(record.window, record.group_by, record.is_exact, record.subject))
        begun = replace(
            record,
            state=RUNNING,
            replica_id=self._here.replica_id,
            roster_version=roster.version,
            left_out=drawn.left_out,
            cohorts=tuple(CohortRecord(dict(cohort.group), len(cohort.agents), stage=GATHERED) for cohort in drawn.cohorts),
        )
        learning.begin(connection, begun, [agent for cohort in drawn.cohorts for agent in cohort.agents])
        return begun, drawn.cohorts

    def _abandoned(self, connection: Connection) -> list[RoundRecord]:
        found = learning.running(connection)
        there = {*replicas.beats(connection)}
        own = self._here.replica_id
        return [one for one in found if one.replica_id not in there or (one.replica_id == own and one.round_id != self._conducted)]

    def _end_abandoned(self, connection: Connection) -> tuple[None, list[NewEvent]]:
        """Looks once more, now that nobody else writes."""
        now, happened = self._here.clock(), []
        for record in self._abandoned(connection):
            for number, cohort in enumerate(record.cohorts):
                if cohort.state == RUNNING:
                    ended = replace(cohort, state=FAILED, reason=Reason.ROUND_INTERRUPTED)
                    learning.replace_cohort(connection, record.round_id, number, ended)
            state = SUCCEEDED if any(cohort.state == SUCCEEDED for cohort in record.cohorts) else FAILED
            happened += _end_round(record, state, Reason.ROUND_INTERRUPTED, now, connection)[1]
        return None, happened

    async def _end(self, record: RoundRecord, state: str, reason: str) -> None:
        await self._journal.write(partial(_end_round, record, state, reason, self._here.clock()))

    async def _conduct_cohort(self, record: RoundRecord, number: int, cohort: Cohort, roster: Roster) -> str:
        kept, exposed = await self._carried(record, record.cohorts[number], cohort, roster)

        def work(connection: Connection) -> None:
            if learning.state_of(connection, record.round_id) != RUNNING:
                return  # it was taken for abandoned, and what has ended stays as it is
            learning.replace_cohort(connection, record.round_id, number, kept)
            if kept.reason == Reason.LEARNING_UNAVAILABLE:
                learning.forget(connection, record.spent_window, cohort.agents)
            else:
                learning.spare(connection, record.spent_window, set(cohort.agents) - exposed)

        await self._database.write(work)
        return kept.state

    async def _carried(
        self, record: RoundRecord, kept: CohortRecord, cohort: Cohort, roster: Roster
    ) -> tuple[CohortRecord, frozenset[str]]:
        """Returns what becomes of a cohort, and who may have spent the window."""
        progress = Progress(stage=GATHERED)
        try:
            async with self._means.gather(cohort.agents) as grid:
                plan = self._plan(record, cohort, grid.reachable(), roster, progress)
                await conduct(plan, roster, grid, self._settings.stage_seconds, progress)
        except SeawallError as error:
            return replace(_noted(kept, progress), state=FAILED, reason=error.reason), progress.exposed
        return _ended(_noted(kept, progress), progress, plan, record), progress.exposed

    def _plan(self, record: RoundRecord, cohort: Cohort, reachable: Collection[str], roster: Roster, progress: Progress) -> Plan:
        come = sorted(set(cohort.agents) & set(reachable))
        progress.lost[GATHERED] = len(cohort.agents) - len(come)
        if len(come) < self._settings.smallest_cohort:
            raise NotPossibleNow(Reason.COHORT_TOO_SMALL, f"{len(come)} agents have come, {self._settings.smallest_cohort} have to.")
        return make_plan(come, record.subject, record.window, record.is_exact, roster, self._here.randomness)


def _noted(kept: CohortRecord, progress: Progress) -> CohortRecord:
    return replace(kept, stage=progress.stage, lost=dict(progress.lost))


def _ended(kept: CohortRecord, progress: Progress, plan: Plan, record: RoundRecord) -> CohortRecord:
    kept = replace(kept, threshold=plan.threshold, rho=0.0 if record.is_exact else rho_of(record.subject, plan))
    if progress.sum is None:
        return replace(kept, state=FAILED, reason=progress.reason)
    count = len(progress.sum.agents)
    variance = 0.0 if record.is_exact else float(noise_of(record.subject, plan).variance_each * count)
    return replace(kept, state=SUCCEEDED, contributors=count, variance=variance, sums=signed(progress.sum.values))


def _end_round(record: RoundRecord, state: str, reason: str, now: datetime, connection: Connection) -> tuple[None, list[NewEvent]]:
    if not learning.end(connection, record.round_id, state, reason, now):
        return None, []
    return None, [NewEvent(now, ENDED, f"rounds/{record.round_id}", detail=f"{state}{f': {reason}' if reason else ''}.")]
