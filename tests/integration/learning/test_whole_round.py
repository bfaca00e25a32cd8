"""A round from the operator's order to the report, over Flower: a real hub, a signed roster, agents with sessions and stores."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
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


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What agents log would be read as what the commands print."""
    with capture_logs():
        yield


@pytest.fixture
def carried() -> dict[str, FleetAgent]:
    """The devices' own ends of their sessions, by name."""
    return {}


@pytest.fixture
async def site(tmp_path: Path, carried: dict[str, FleetAgent]) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        limits = Limits(stop_seconds=0, last_seen_seconds=0.1)
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub", limits=limits, learning=LEARNING))

        @asynccontextmanager
        async def carry(identity: Identity, state: StateFolder, participation: Participation) -> AsyncIterator[None]:
            async with fleet_agent(identity, state.path, answering=lambda: participation.afresh().answer) as agent:
                carried[identity.agent_id] = agent
                yield

        made = Site(hub, tmp_path / "ceremony", tmp_path, stack, carry)
        await made.trust()
        for number in range(SIZE):
            await made.add_device(f"plant-{number}")

        async def are_heard_of() -> bool:
            found = await hub.hub.database.read(lambda connection: agents.page(connection, "", SIZE))
            return all(one.replica_id is not None and one.last_seen_time is not None for one in found)

        await eventually(are_heard_of, 30)
        yield made


async def renew(site: Site, agent: FleetAgent) -> None:
    """Returns once the device's session is under its next certificate."""
    agent_id = agent.link.identity.agent_id
    agent.link.replace(await site.renew(agent_id))

    async def is_known() -> bool:
        record = await site.hub.hub.database.read(lambda connection: agents.get(connection, agent_id))
        return record is not None and record.replica_id is not None and not record.previous_key_hash

    await eventually(is_known, 30)


async def test_sums_over_flower_are_of_what_devices_have_counted_and_people_said_also_once_one_has_another_certificate(
    site: Site, carried: dict[str, FleetAgent]
) -> None:
    await site.sign_roster()
    await renew(site, carried["plant-0"])
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
