"""Rounds as they are asked for and shown. `hub.learning.conductor` does what is asked for, in one process of the hub."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from contract.errors import NotFound, NotPossibleNow, Reason, SeawallError
from contract.learning import span
from contract.secagg.roster import Roster
from contract.usage import SCHEMA_VERSION
from hub.clock import Clock
from hub.config import LearningSettings
from hub.fleet.enrollment import Randomness
from hub.fleet.events import Journal
from hub.learning.planning import Drawing, Wanted, check_fields, checked
from hub.learning.results import GroupSums, calibration_report, held_against, merge
from hub.learning.rosters import RosterFit, fit
from hub.store import agents, learning
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.learning import RoundRecord

CREATED = "ROUND_CREATED"

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
        random: draws cohorts.
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
        settings: of learning.
        here: this process.
        is_on: whether any process of this hub conducts rounds.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        newest_roster: Callable[[], Awaitable[Roster]],
        settings: LearningSettings,
        here: Here,
        is_on: bool,
    ) -> None:
        self._database = database
        self._journal = journal
        self._newest_roster = newest_roster
        self._settings = settings
        self._here = here
        self._is_on = is_on
        self.created: Callable[[], None] = lambda: None
        """Called when this process was asked for a round."""

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

    async def roster_fit(self) -> RosterFit:
        """Returns how the newest roster fits the fleet.

        Raises:
            Unavailable: the store is away.
        """
        said = await self._database.read(agents.member_keys)
        try:
            return fit(await self._newest_roster(), said)
        except SeawallError as error:  # none is published, none that can be used, or the blobs are away
            return fit(None, said, error.reason)

    async def report(self, window: str, group_by: Sequence[str], against: str = "") -> list[GroupSums]:
        """Returns what was learnt of a window.

        Args:
            window: the week.
            group_by: fields by which the sums are told apart.
            against: the week that its prompts are held against; empty: none.

        Raises:
            InvalidRequest: FIELD_INVALID.
        """
        check_fields(group_by)
        groups = await self._sums_of(window, group_by)
        return held_against(groups, await self._sums_of(against, group_by), against) if against else groups

    async def _sums_of(self, window: str, group_by: Sequence[str]) -> list[GroupSums]:
        span(window)
        found = await self._database.read(lambda connection: learning.of_window(connection, window))
        return merge(found, SCHEMA_VERSION, group_by)

    async def sums(self, round_id: str) -> bytes:
        """Returns what a round of confidence or similarity came to, as whoever signs the next calibration takes it.

        Raises:
            NotFound: ROUND_NOT_FOUND.
            InvalidRequest: FIELD_INVALID, it is of something else.
            NotPossibleNow: ROUND_SHORT, no cohort of it has a sum.
        """
        return calibration_report(await self.get(round_id)).to_json()

    async def create(self, wanted: Wanted, by: By) -> RoundRecord:
        """Has a round begun soon. The same request again returns what it made.

        Raises:
            InvalidRequest: FIELD_INVALID; ROSTER_INVALID, RELEASE_INVALID: of the roster.
            NotPossibleNow: LEARNING_OFF; ROSTER_UNKNOWN, none is published; COHORT_TOO_SMALL, too few agents can be asked.
            Unavailable: the store is away.
        """
        made = await self._database.read(lambda connection: learning.of_request(connection, by.request_id))
        if made is not None:
            return made
        if not self._is_on:
            raise NotPossibleNow(Reason.LEARNING_OFF, "This hub asks agents for nothing: see [learning] in hub.toml.")
        now, roster = self._here.clock(), await self._newest_roster()
        wanted = checked(wanted, now)
        drawing = Drawing(roster, self._settings, now, self._here.random, not by.actor)
        record = RoundRecord(
            round_id=f"{wanted.window.lower()}-{by.request_id[:ID_DIGITS]}",
            window=wanted.window,
            group_by=wanted.group_by,
            is_exact=wanted.is_exact,
            schema_version=wanted.subject.schema_version,
            roster_version=roster.version,
            creator=by.actor,
            create_time=now,
            request_id=by.request_id,
            subject=wanted.subject,
        )

        def work(connection: Connection) -> tuple[None, list[NewEvent]]:
            drawing.draw(connection, wanted)  # whether there is anybody to ask; who it is, is drawn when it begins
            learning.insert(connection, record)
            return None, [NewEvent(now, CREATED, f"rounds/{record.round_id}", by.actor, f"Of {wanted.window}.")]

        await self._journal.write(work)
        self.created()
        return await self.get(record.round_id)
