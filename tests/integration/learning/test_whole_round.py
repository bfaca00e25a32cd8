"""A round from the operator's order to the report, over Flower: a real hub, a signed roster, agents with sessions and stores."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.identity.files import Identity
from agent.learning.participation import Participation
from agent.state import StateFolder
from contract.calibration.report import Report
from contract.calibration.sums import ANSWER_UNITS
from contract.subjects import Confidence
from hub.config import LearningSettings, Limits
from hub.store import agents
from tests.fakes.fleet_agent import REPORT, FleetAgent, eventually, fleet_agent
from tests.fakes.hub import running_hub
from tests.fakes.operator_site import MODEL, WINDOW, Site

SIZE = 4
LEARNING = LearningSettings(listen="127.0.0.1:0", smallest_cohort=SIZE, cohort=8, stage_seconds=100)


def carry(identity: Identity, state: StateFolder, participation: Participation) -> AbstractAsyncContextManager[FleetAgent]:
    return fleet_agent(identity, state.path, answering=lambda: participation.answer)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What agents log would be read as what the commands print."""
    with capture_logs():
        yield


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        limits = Limits(stop_seconds=0, last_seen_seconds=0.1)
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub", limits=limits, learning=LEARNING))
        made = Site(hub, tmp_path / "ceremony", tmp_path, stack, carry)
        await made.trust()
        for number in range(SIZE):
            await made.add_device(f"plant-{number}")

        async def are_heard_of() -> bool:
            found = await hub.hub.database.read(lambda connection: agents.page(connection, "", SIZE))
            return all(one.replica_id is not None and one.last_seen_time is not None for one in found)

        await eventually(are_heard_of, 30)
        yield made


async def test_sums_over_flower_are_of_what_the_devices_have_counted_and_of_what_people_said_of_their_answers(site: Site) -> None:
    await site.sign_roster()
    begun = await site.read("learning", "start", "--exact", "--by", "model")
    ended = await site.ended(begun["name"])
    assert (ended["state"], ended["window"]) == ("SUCCEEDED", WINDOW)
    [group] = (await site.read("learning", "report"))["groups"]
    assert (group["sums"]["route.local"], group["contributors"]) == (str(SIZE), SIZE)
    begun = await site.read("learning", "start", "--exact", "--of", "confidence", "--model", REPORT.model)
    assert (await site.ended(begun["name"]))["state"] == "SUCCEEDED"
    [cohort] = Report.from_json((await site.run("learning", "sums", begun["name"].removeprefix("rounds/"))).encode()).cohorts
    assert (cohort.devices, list(cohort.values)) == (SIZE, site.contributed(Confidence(MODEL)))
    assert cohort.values[2] == SIZE * ANSWER_UNITS
