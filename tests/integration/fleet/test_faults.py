"""Sessions with a hub that fails, and that goes on without loss when it no longer does."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from contract.errors import Reason
from seawall.hub.v1 import session_pb2
from seawall.hub.v1.command_pb2 import Command
from seawall.hub.v1.group_pb2 import Configuration
from tests.fakes.fleet_agent import REPORT, eventually, fleet_agent
from tests.fakes.fleet_hub import FakeFleetHub, RunningFakeHub, fake_fleet_hub


async def test_hello_says_what_the_agent_is_and_runs_by(fake: RunningFakeHub, tmp_path: Path) -> None:
    await fake.hub.want(Configuration(cache_disabled=True))
    async with fleet_agent(fake.identity(), tmp_path, learns=False):
        await eventually(lambda: fake.hub.applied_generation == 1)
    async with fleet_agent(fake.identity(), tmp_path, learns=False):
        await eventually(lambda: len(fake.hub.hellos) > 1)
    assert fake.hub.hellos[0] == session_pb2.Hello(report=REPORT)
    assert fake.hub.hellos[1] == session_pb2.Hello(report=REPORT, applied_generation=1)


async def test_streams_that_break_again_and_again_are_opened_anew_and_everything_is_done_once(fake: RunningFakeHub, tmp_path: Path) -> None:
    fake.hub.faults.cut_after, fake.hub.faults.duplicates = 8, True
    names = [await fake.hub.tell(Command.FORGET_ANSWERS) for _ in range(5)]
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: sorted(agent.done.names) == sorted(names))
        await eventually(lambda: all(fake.hub.commands[name].state == Command.SUCCEEDED for name in names))
        await fake.hub.want(Configuration(cache_disabled=True))
        await eventually(lambda: fake.hub.applied_generation == 1)
    assert sorted(agent.done.names) == sorted(names)
    assert len(fake.hub.hellos) > 2


async def test_an_outcome_is_told_again_until_the_hub_has_it(fake: RunningFakeHub, tmp_path: Path) -> None:
    fake.hub.faults.lost_acknowledgements = 2
    async with fleet_agent(fake.identity(), tmp_path):
        name = await fake.hub.tell(Command.FORGET_ANSWERS)
        await eventually(lambda: fake.hub.faults.lost_acknowledgements == 0)
        assert fake.hub.commands[name].state == Command.PENDING
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: fake.hub.commands[name].state == Command.SUCCEEDED)
        assert agent.done.names == []


async def test_a_hub_that_answers_no_heartbeat_is_left(fake: RunningFakeHub, tmp_path: Path) -> None:
    fake.hub.faults.is_mute = True
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: len(fake.hub.hellos) > 1)
        counted = agent.metrics.registry.get_sample_value("seawall_agent_sessions_ended_total", {"reason": "heartbeats-unanswered"})
        assert counted is not None


@pytest.mark.parametrize("reason", [Reason.AGENT_SUSPENDED, Reason.AGENT_RETIRED, Reason.HUB_BUSY, Reason.SESSION_REPLACED])
async def test_a_refusal_is_shown_and_tried_again(fake: RunningFakeHub, tmp_path: Path, reason: Reason) -> None:
    fake.hub.faults.refusal = reason
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == f"waiting: {reason.lower().replace('_', '-')}")
        fake.hub.faults.refusal = None
        await eventually(lambda: agent.session.state == "open")


async def test_a_time_that_is_none_ends_the_session_not_the_agent(fake: RunningFakeHub, tmp_path: Path) -> None:
    fake.hub.faults.hub_seconds = 2**62
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "waiting: welcome-invalid")
        fake.hub.faults.hub_seconds = 0
        await eventually(lambda: agent.session.state == "open")


async def test_a_command_of_another_agent_is_not_done(fake: RunningFakeHub, tmp_path: Path) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        for name in ("agents/plant-8/commands/c1", "c1", f"agents/plant-7/commands/{'c' * 300}"):
            strange = Command(name=name, action=Command.FORGET_ANSWERS, expire_time=Timestamp(seconds=4_000_000_000))
            fake.hub.send(session_pb2.ConnectResponse(command=strange))
        name = await fake.hub.tell(Command.FORGET_ANSWERS)
        await eventually(lambda: fake.hub.commands[name].state == Command.SUCCEEDED)
        assert agent.done.names == [name]


async def test_two_devices_with_one_identity_slow_down(fake: RunningFakeHub, tmp_path: Path) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        for _ in range(3):
            await eventually(lambda: agent.session.state == "open")
            opened = fake.hub.heartbeats
            await eventually(lambda: fake.hub.heartbeats > opened + 1)  # noqa: B023 - awaited in the loop
            fake.hub.end_streams(Reason.SESSION_REPLACED)
            await eventually(lambda: agent.session.state != "open")
        assert agent.session._failures == 3


async def test_a_hub_that_is_stopped_is_found_again(tmp_path: Path) -> None:
    async with fake_fleet_hub() as first:
        identity = first.identity()
        agent_running = fleet_agent(identity, tmp_path)
        agent = await agent_running.__aenter__()
        await eventually(lambda: agent.session.state == "open")
    try:
        await eventually(lambda: agent.session.state.startswith("waiting"))
    finally:
        await agent_running.__aexit__(None, None, None)


async def test_a_command_that_has_expired_by_the_hubs_clock_is_not_begun(fake: RunningFakeHub, tmp_path: Path) -> None:
    async with fleet_agent(fake.identity(), tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        late = Command(name="agents/plant-7/commands/late", action=Command.FORGET_ANSWERS, expire_time=Timestamp(seconds=1))
        fake.hub.send(session_pb2.ConnectResponse(command=late))
        name = await fake.hub.tell(Command.FORGET_ANSWERS)
        await eventually(lambda: fake.hub.commands[name].state == Command.SUCCEEDED)
        assert agent.done.names == [name]


async def test_an_action_of_a_newer_hub_fails_by_name(fake: RunningFakeHub, tmp_path: Path) -> None:
    async with fleet_agent(fake.identity(), tmp_path):
        name = await fake.hub.tell(Command.Action.ValueType(99))
        await eventually(lambda: fake.hub.commands[name].state == Command.FAILED)
        assert fake.hub.commands[name].error.startswith("COMMAND_UNKNOWN")


async def test_a_heartbeat_interval_of_nothing_does_not_flood_the_hub(tmp_path: Path) -> None:
    async with fake_fleet_hub(FakeFleetHub(heartbeat_seconds=0)) as running, fleet_agent(running.identity(), tmp_path):
        await eventually(lambda: running.hub.heartbeats > 0)
        before = running.hub.heartbeats
        await asyncio.sleep(0.2)
        assert running.hub.heartbeats - before < 10
