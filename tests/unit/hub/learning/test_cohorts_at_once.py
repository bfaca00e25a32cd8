"""Rounds of several cohorts through a real child of the hub: what is kept when the child dies, and when the role is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest

from contract.errors import Reason
from contract.secagg.wire import Kind, kind_of
from hub.config import LearningSettings
from hub.learning.conductor import ENDED, Gather
from hub.learning.grid import Grid
from hub.learning.planning import Wanted
from hub.learning.rounds import By
from hub.store import events, learning
from hub.store.learning import FAILED, SUCCEEDED, CohortRecord, RoundRecord
from tests.fakes.fleet_agent import eventually
from tests.fakes.flower_devices import FlowerDevices, hub_children, transport
from tests.fakes.grid import STAGE_OF
from tests.fakes.learning_fleet import BY, WINDOW, LearningFleet, learning_fleet

SIZE, REGIONS = 4, "abc"
SETTINGS = LearningSettings(smallest_cohort=SIZE, cohort=SIZE, stage_seconds=60)
WANTED = Wanted(group_by=("labels.region",), is_exact=True)
AGAIN = By(BY.actor, "22222222-2222-4222-8222-222222222222")


@dataclass
class Regions:
    """A fleet of three regions, whose devices stand still where they are told to."""

    fleet: LearningFleet
    stops: dict[str, Kind] = field(default_factory=dict)
    """By region, what its devices do not answer before they are released."""
    standing: list[str] = field(default_factory=list)
    """Regions, one for each device that stands still."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    holds_role: bool = True

    def of(self, region: str) -> list[str]:
        return [agent for number, agent in enumerate(self.fleet.devices) if REGIONS[number % len(REGIONS)] == region]

    async def answer(self, agent: str, message: bytes) -> bytes:
        region = next(region for region in REGIONS if agent in self.of(region))
        if self.stops.get(region) is STAGE_OF[kind_of(message)]:
            self.standing.append(region)
            await self.released.wait()
        return await self.fleet.devices[agent].answer(message)

    def gather(self, most_cohorts: int) -> Gather:
        carried = transport(FlowerDevices(self.answer), self.fleet.database, lambda: self.holds_role, most_cohorts)

        def gathered(agents: object) -> AbstractAsyncContextManager[Grid]:
            return carried.open(agents, 300, 60)  # type: ignore[arg-type]

        return gathered

    async def asked(self) -> dict[str, bool]:
        return await self.fleet.database.read(lambda connection: learning.asked(connection, WINDOW))


@pytest.fixture
async def regions() -> AsyncIterator[Regions]:
    with learning_fleet(SIZE * len(REGIONS), settings=SETTINGS) as fleet:
        await fleet.begin()
        await fleet.enroll(labels=lambda number: REGIONS[number % len(REGIONS)])
        for number, device in enumerate(fleet.devices.values()):
            await device.use(number)
        yield Regions(fleet)


def by_region(ended: RoundRecord) -> dict[str, CohortRecord]:
    return {cohort.group["labels.region"]: cohort for cohort in ended.cohorts}


async def test_cohorts_of_a_child_that_dies_fail_where_each_was_and_who_was_not_exposed_is_asked_again(regions: Regions) -> None:
    fleet = regions.fleet
    regions.stops = {"a": Kind.KEYS, "b": Kind.MASKED, "c": Kind.UNMASKING}
    rounds, conductor = fleet.process(gather=regions.gather(8))
    made = await rounds.create(WANTED, BY)
    conducting = asyncio.create_task(conductor.conduct_pending())
    await eventually(lambda: len(regions.standing) == SIZE * len(REGIONS), 60)
    [child] = hub_children()
    os.kill(child, signal.SIGKILL)
    await conducting
    ended = await rounds.get(made.round_id)
    found = {region: (cohort.reason, cohort.stage) for region, cohort in by_region(ended).items()}
    assert ended.state == FAILED
    assert found == {region: (Reason.HUB_UNAVAILABLE, stage.name) for region, stage in regions.stops.items()}
    assert {agent for agent, is_exposed in (await regions.asked()).items() if is_exposed} == {*regions.of("b"), *regions.of("c")}
    regions.stops = {}
    again = await rounds.create(WANTED, AGAIN)
    await conductor.conduct_pending()
    [cohort] = (await rounds.get(again.round_id)).cohorts
    assert (cohort.state, cohort.group, cohort.sums) == (SUCCEEDED, {"labels.region": "a"}, fleet.sum_of(iter(regions.of("a"))))


async def test_cohorts_wait_their_turn_and_where_the_role_is_lost_meanwhile_are_left_to_who_has_it(regions: Regions) -> None:
    fleet = regions.fleet
    regions.stops = dict.fromkeys(REGIONS, Kind.CONSENT)
    rounds, conductor = fleet.process(gather=regions.gather(1), holds_role=lambda: regions.holds_role)
    made = await rounds.create(WANTED, BY)
    conducting = asyncio.create_task(conductor.conduct_pending())
    await eventually(lambda: len(regions.standing) == SIZE, 60)
    assert set(regions.standing) == {"a"}
    regions.holds_role = False
    regions.released.set()
    await conducting
    ended = await rounds.get(made.round_id)
    found = {region: (cohort.state, cohort.reason, cohort.stage) for region, cohort in by_region(ended).items()}
    waited = (FAILED, Reason.LEARNING_UNAVAILABLE, "GATHERED")
    assert (ended.state, found) == (SUCCEEDED, {"a": (SUCCEEDED, "", "UNMASKING"), "b": waited, "c": waited})
    assert await regions.asked() == dict.fromkeys(regions.of("a"), True)
    happened = await fleet.database.read(lambda connection: events.after(connection, 0, 100))
    assert len([one for one in happened if one.type == ENDED]) == 1
