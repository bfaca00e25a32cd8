"""What a rollout wants reaches the agent, and how far it is reaches the hub, over sessions that break."""

from pathlib import Path

import pytest

from agent.releases import State
from contract.errors import Reason
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.fleet_agent import eventually, fleet_agent
from tests.fakes.fleet_hub import RunningFakeHub

WANTED = DesiredRelease(rollout="rollouts/r1", model_version="models/tiny/versions/2", action=DesiredRelease.TAKE)


async def test_what_is_wanted_is_on_the_disk_before_it_is_reported(fake: RunningFakeHub, tmp_path: Path) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await fake.hub.roll_out(WANTED)
        await eventually(lambda: fake.hub.released("rollouts/r1").state == State.WAITING)
        entry = await agent.releases.newest()
        assert entry is not None
        assert entry.wanted == WANTED
        assert agent.releases.wanted.is_set()


async def test_the_latest_is_told_at_the_beginning_of_each_session_and_on_change(fake: RunningFakeHub, tmp_path: Path) -> None:
    await fake.hub.roll_out(WANTED)
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: fake.hub.released("rollouts/r1").state == State.WAITING)
        entry = await agent.releases.newest()
        assert entry is not None
        entry = await agent.releases.tell(entry, State.ON_PROBATION, "It serves.", figures={"perplexity": 12.5})
        await eventually(lambda: fake.hub.released("rollouts/r1").figures == {"perplexity": 12.5})
        told = len(fake.hub.releases)
        fake.hub.end_streams(Reason.HUB_BUSY)
        await eventually(lambda: len(fake.hub.releases) > told)
        assert fake.hub.releases[-1] == entry.report
    async with fleet_agent(fake.identity(), tmp_path):
        told = len(fake.hub.releases)
        await eventually(lambda: len(fake.hub.releases) > told)
        assert fake.hub.releases[-1] == entry.report, "it is kept over a restart"


@pytest.mark.parametrize(
    "wanted", [DesiredRelease(rollout="rollouts/r1"), DesiredRelease(rollout="../r1", model_version="models/a/versions/1")]
)
async def test_what_makes_no_sense_ends_no_session(fake: RunningFakeHub, tmp_path: Path, wanted: DesiredRelease) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await fake.hub.roll_out(wanted)
        await fake.hub.roll_out(WANTED)
        await eventually(lambda: fake.hub.released("rollouts/r1").state == State.WAITING)
        assert len(fake.hub.hellos) == 1


async def test_a_download_is_told_as_it_goes_and_not_kept(fake: RunningFakeHub, tmp_path: Path) -> None:
    await fake.hub.roll_out(WANTED)
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: fake.hub.released("rollouts/r1").state == State.WAITING)
        agent.releases.tell_progress("rollouts/r1", 3, 10, "")
        await eventually(lambda: fake.hub.released("rollouts/r1").done_bytes == 3)
        assert fake.hub.released("rollouts/r1").state == State.FETCHING
        assert agent.releases.progress_bytes == (3, 10)
        assert "fetching, 0.0 of 0.0 MB" in agent.releases.health()
        agent.releases.tell_progress("rollouts/r1", 3, 10, "outside its hours")
        await eventually(lambda: fake.hub.released("rollouts/r1").detail == "outside its hours")
        entry = await agent.releases.newest()
        assert entry is not None
        assert entry.report.done_bytes == 0
