"""Which weeks are read of what people said, and which of them a version is judged by."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from contract.subjects import USAGE, Confidence, Subject
from contract.usage import CELLS, SCHEMA_VERSION
from hub.learning.said import Said, weeks_said
from hub.release.gates import Learned
from hub.release.learned import learned
from hub.store import agents, learning
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.learning import FAILED, PENDING, RUNNING, SUCCEEDED, CohortRecord, RoundRecord
from seawall.hub.v1.agent_pb2 import AgentReport

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BEGAN = datetime(2026, 11, 12, tzinfo=UTC)
"""When the wave did: in 2026-W46."""
NEW, OLD = 11, 3
"""The buckets of the versions."""
ENOUGH = (Said(200, 200), Said(3600, 400))


def sums(new: Said, old: Said) -> tuple[int, ...]:
    cells = dict.fromkeys(CELLS, 0)
    for number, said in ((NEW, new), (OLD, old)):
        cells |= {f"model.{number}.said.good": said.good, f"model.{number}.said.bad": said.bad}
    return tuple(cells.values())


class Site:
    """A hub's store with agents of two versions; rounds are put into it."""

    def __init__(self, database_url: str) -> None:
        self.database = Database.open(database_url)
        self._count = 0

    async def enroll(self) -> None:
        def work(connection: Connection) -> None:
            for number, digit in ((2, "b"), (1, "3")):
                report = AgentReport(model=f"models/x/versions/{number}", model_digest=f"sha256:{digit}{'0' * 63}")
                agents.insert(connection, AgentRecord(f"till-{number}", str(number) * 64, b"", NOW, NOW, report=report.SerializeToString()))

        await self.database.write(work)

    async def round(
        self, week: str, state: str, *said: tuple[Said, Said], subject: Subject = USAGE, variance: float = 0.0, missing: int = 0
    ) -> None:
        """Puts a round there whose cohorts have come to so much; so many more are under way, or have failed with it."""
        self._count += 1
        made = RoundRecord(
            f"{week.lower()}-{self._count:08}", week, (), True, SCHEMA_VERSION, 1, "", NOW, f"{self._count:036}", subject=subject
        )
        done = [CohortRecord({}, 8, state=SUCCEEDED, contributors=8, variance=variance, sums=sums(*one)) for one in said]
        begun = replace(made, state=RUNNING, replica_id="r1", cohorts=(*done, *[CohortRecord({}, 8)] * missing))

        def work(connection: Connection) -> None:
            learning.insert(connection, made)
            if state != PENDING:
                learning.begin(connection, begun, [f"agent-{self._count}"])
            if state in (SUCCEEDED, FAILED):
                learning.end(connection, made.round_id, state, "", NOW)

        await self.database.write(work)

    async def weeks(self) -> list[str]:
        return [week.week for week in await self.database.read(lambda connection: list(weeks_said(connection, BEGAN)))]

    async def learned(self) -> Learned | str:
        return await self.database.read(lambda connection: learned(connection, "models/x/versions/2", BEGAN))


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    made = Site(database_url)
    await made.enroll()
    yield made
    made.database.close()


@pytest.mark.parametrize("state", [PENDING, RUNNING])
async def test_a_week_of_which_a_round_goes_on_is_not_read_whatever_is_there_of_it(site: Site, state: str) -> None:
    await site.round("2026-W47", SUCCEEDED, ENOUGH)
    await site.round("2026-W48", SUCCEEDED, (Said(9, 1), Said(0, 0)))
    assert await site.weeks() == ["2026-W48", "2026-W47"]
    await site.round("2026-W48", state, missing=1)
    assert await site.weeks() == ["2026-W47"]
    assert await site.learned() == Learned("2026-W47", *ENOUGH, 0.0)


async def test_one_regions_sum_of_a_round_that_goes_on_judges_no_version(site: Site) -> None:
    await site.round("2026-W48", RUNNING, (Said(0, 400), Said(4000, 0)), missing=1)
    assert await site.learned() == "no week that ended since the wave began has a report"


async def test_a_round_of_confidence_that_goes_on_holds_up_no_report_of_use(site: Site) -> None:
    await site.round("2026-W48", SUCCEEDED, ENOUGH)
    await site.round("2026-W48", RUNNING, subject=Confidence("sha256:" + "b" * 64), missing=1)
    assert await site.weeks() == ["2026-W48"]


async def test_a_week_whose_rounds_have_all_failed_has_no_report(site: Site) -> None:
    await site.round("2026-W47", SUCCEEDED, ENOUGH)
    await site.round("2026-W48", FAILED, missing=1)
    assert await site.weeks() == ["2026-W47"]


@pytest.mark.parametrize(("said", "variance"), [((Said(0, 0), Said(90, 10)), 0.0), ((Said(300, 60), Said(3000, 600)), 100.0**2)])
async def test_where_the_newest_week_says_too_little_the_one_before_it_is_read(
    site: Site, said: tuple[Said, Said], variance: float
) -> None:
    await site.round("2026-W47", SUCCEEDED, ENOUGH)
    await site.round("2026-W48", SUCCEEDED, said, variance=variance)
    assert await site.learned() == Learned("2026-W47", *ENOUGH, 0.0)


async def test_no_week_is_read_that_was_over_when_the_wave_began(site: Site) -> None:
    await site.round("2026-W45", SUCCEEDED, ENOUGH)
    await site.round("2026-W46", SUCCEEDED, (Said(0, 0), Said(1, 0)))
    await site.round("2026-W47", SUCCEEDED, (Said(0, 0), Said(2, 0)))
    assert await site.weeks() == ["2026-W47", "2026-W46"]
    assert await site.learned() == Learned("2026-W47", Said(0, 0), Said(2, 0), 0.0), "the newest is named where none says anything"


async def test_of_weeks_that_say_something_the_newest_is_read(site: Site) -> None:
    await site.round("2026-W47", SUCCEEDED, (Said(1, 399), Said(3600, 400)))
    await site.round("2026-W48", SUCCEEDED, ENOUGH)
    assert await site.learned() == Learned("2026-W48", *ENOUGH, 0.0)
