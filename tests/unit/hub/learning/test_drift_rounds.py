"""Drift of a fleet's prompts, from the stores of its devices through sums to the report."""

from collections.abc import Mapping, Sequence
from io import StringIO
from random import Random
from uuid import uuid4

import pytest
from rich.console import Console

from contract.learning import windows_over
from contract.subjects import MOST_ANSWERS, USAGE, Subject
from contract.usage import Used, tally
from hub.api.learning import LearningServicer
from hub.config import LearningSettings
from hub.console.learning_views import drift_chart
from hub.learning.drift import Drift, Shift
from hub.learning.planning import Wanted
from hub.learning.rounds import By
from seawall.hub.v1 import round_pb2
from tests.fakes.answerer import receipt
from tests.fakes.learning_fleet import BY, NOW, LearningFleet, learning_fleet
from tests.fakes.topics import sketches

NEW, OLD = windows_over(NOW)[:2]
OFFICE, WORKSHOP, KITCHEN = 1, 2, 4


def is_seen(shift: Shift) -> bool:
    return shift.index >= 2 * shift.standard_deviation


async def asked(fleet: LearningFleet, week: str, topics: Sequence[int], prompts: int, is_exact: bool) -> None:
    """Has each device asked of its topic, and its week summed."""
    for number, device in enumerate(fleet.devices.values()):
        await device.ask(sketches(topics[number % len(topics)], prompts, Random(f"{device.agent_id} {week}")), week)
    await summed(fleet, week, is_exact)


async def summed(fleet: LearningFleet, week: str, is_exact: bool) -> None:
    record = await fleet.play(Wanted(week, ("labels.region",), is_exact), By(BY.actor, str(uuid4())))
    assert [cohort.state for cohort in record.cohorts] == ["SUCCEEDED"] * len(record.cohorts)


async def drifts(fleet: LearningFleet, group_by: Sequence[str] = ()) -> dict[str, Drift | None]:
    rounds, _ = fleet.process()
    return {dict(one.group).get("labels.region", ""): one.drift for one in await rounds.report(NEW, group_by, OLD)}


async def shown(fleet: LearningFleet, group_by: str) -> dict[str, list[str]]:
    """The report as an operator asks for it and sees it, by group."""
    rounds, _ = fleet.process()
    request = round_pb2.GetReportRequest(name=f"reports/{NEW}", group_by=[group_by])
    report = await LearningServicer(rounds, "seawall.test").GetReport(request, None)  # type: ignore[arg-type]
    assert report.against == f"reports/{OLD}"
    lines = {}
    for group in report.groups:
        written = StringIO()
        Console(width=120, file=written).print(drift_chart(OLD, group))
        lines[group.group[group_by]] = [line.rstrip() for line in written.getvalue().splitlines()]
    return lines


async def test_a_region_whose_topic_changes_shows_and_one_that_stays_does_not() -> None:
    with learning_fleet(8, settings=LearningSettings(smallest_cohort=4, cohort=4)) as fleet:
        await fleet.begin()
        await fleet.enroll(labels=lambda number: ("north", "south")[number % 2])
        await asked(fleet, OLD, (OFFICE, WORKSHOP), 60, is_exact=True)
        await asked(fleet, NEW, (OFFICE, KITCHEN), 60, is_exact=True)
        found, charts = await drifts(fleet, ["labels.region"]), await shown(fleet, "labels.region")
    north, south = found["north"], found["south"]
    assert north is not None
    assert south is not None
    assert not is_seen(north.together)
    assert is_seen(south.together)
    assert "together" in charts["north"][-1]
    assert charts["north"][-1].endswith("within the noise")
    assert charts["south"][-1].endswith("█")


async def test_of_a_week_that_was_not_summed_or_not_sketched_nothing_is_said() -> None:
    with learning_fleet(4) as fleet:
        await fleet.begin()
        await fleet.enroll()
        for device in fleet.devices.values():
            await device.use(30)
        await fleet.play(Wanted(NEW, is_exact=True), By(BY.actor, str(uuid4())))
        assert await drifts(fleet) == {"": None}
        await asked(fleet, OLD, (OFFICE,), 30, is_exact=True)
        assert await drifts(fleet) == {"": None}


async def test_the_first_week_that_there_is_has_a_report_without_drift() -> None:
    with learning_fleet(4) as fleet:
        servicer = LearningServicer(fleet.process()[0], "seawall.test")
        report = await servicer.GetReport(round_pb2.GetReportRequest(name="reports/0001-W01"), None)  # type: ignore[arg-type]
        assert (report.name, report.against, [*report.groups]) == ("reports/0001-W01", "", [])


async def test_of_a_fleet_that_is_too_small_for_its_noise_nothing_is_said() -> None:
    with learning_fleet(8) as fleet:
        await fleet.begin()
        await fleet.enroll()
        await asked(fleet, OLD, (WORKSHOP,), 10, is_exact=False)
        await asked(fleet, NEW, (KITCHEN,), 10, is_exact=False)
        assert await drifts(fleet) == {"": None}


class Counted:
    """What a device reports of each week: this."""

    def __init__(self, weeks: Mapping[str, list[int]]) -> None:
        self.weeks = weeks

    def counts(self, subject: Subject, week: str) -> list[int]:
        assert subject == USAGE
        return self.weeks[week]


def counted(topic: int, seed: int) -> list[int]:
    return tally([Used(receipt("p"), sketch=one) for one in sketches(topic, MOST_ANSWERS, Random(seed))], MOST_ANSWERS)


@pytest.mark.system
@pytest.mark.parametrize(("topic", "shows"), [(KITCHEN, True), (WORKSHOP, False)])
async def test_in_rounds_of_a_thousand_devices_a_topic_that_changes_shows_through_the_noise(topic: int, shows: bool) -> None:
    with learning_fleet(1024, settings=LearningSettings(smallest_cohort=20, cohort=64)) as fleet:
        await fleet.begin()
        await fleet.enroll()
        weeks = Counted({OLD: counted(WORKSHOP, 1), NEW: counted(topic, 2)})
        for device in fleet.devices.values():
            device.reporting = weeks  # type: ignore[assignment]
            device.started()
        for week in (OLD, NEW):
            await summed(fleet, week, is_exact=False)
        found = (await drifts(fleet))[""]
    assert found is not None
    assert is_seen(found.together) == shows
