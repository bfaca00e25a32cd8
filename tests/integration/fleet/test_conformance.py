"""What an agent and a hub do together; the same for the fake hub and for the real one."""

from pathlib import Path

import pytest

from contract.classification import DataClass
from seawall.hub.v1.command_pb2 import Command
from seawall.hub.v1.group_pb2 import Configuration
from seawall.hub.v1.session_pb2 import DesiredState
from tests.fakes.fleet_agent import eventually, fleet_agent
from tests.integration.fleet.hubs import HubUnderTest


async def is_in(hub: HubUnderTest, name: str, state: Command.State.ValueType) -> bool:
    return (await hub.command(name)).state == state


def empty_store(folder: Path) -> None:
    for file in folder.glob("agent.db-*"):
        file.unlink()
    (folder / "agent.db").write_bytes(b"")


async def test_a_session_opens_and_heartbeats_hold_it(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        sample = agent.metrics.registry.get_sample_value
        assert sample("seawall_agent_session_open") == 1
        await eventually(lambda: (sample("seawall_agent_heartbeat_seconds_count") or 0) >= 2)


async def test_what_is_wanted_is_applied_and_kept_over_a_restart(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        wanted = await hub.want(Configuration(escalation_disabled=True, floor="confidential", log_level="debug"))

        async def is_applied() -> bool:
            return await hub.applied() == (wanted, "")

        await eventually(is_applied)
        narrowing = agent.desired.narrowing
        assert (narrowing.escalation_disabled, narrowing.floor, agent.done.log_levels[-1]) == (True, DataClass.CONFIDENTIAL, "debug")
    await hub.suspend()
    async with fleet_agent(hub.identity, tmp_path) as agent:
        assert (agent.desired.generation, agent.desired.narrowing) == (wanted, narrowing)
    await hub.resume()


@pytest.mark.parametrize("wants", [Configuration(escalation_disabled=True, floor="confidential"), None])
async def test_an_emptied_store_lets_nothing_leave_until_the_hub_has_said_what_it_wants(
    hub: HubUnderTest, tmp_path: Path, wants: Configuration | None
) -> None:
    """None: the hub wants nothing, as a new one would of an agent that another one had narrowed."""
    async with fleet_agent(hub.identity, tmp_path) as agent:
        await agent.desired.apply(DesiredState(generation=1, configuration=Configuration(escalation_disabled=True)))
        if wants is not None:
            generation = await hub.want(wants)
            await eventually(lambda: agent.desired.generation == generation)
    empty_store(tmp_path)
    await hub.suspend()
    async with fleet_agent(hub.identity, tmp_path) as agent:
        assert agent.desired.narrowing.escalation_disabled
        assert "emptied" in agent.desired.trouble
        await hub.resume()
        await eventually(lambda: agent.desired.trouble == "")
        assert agent.desired.narrowing.escalation_disabled == (wants is not None)


async def test_what_would_widen_is_refused_and_what_was_applied_stays(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        first = await hub.want(Configuration(cache_disabled=True))
        await eventually(lambda: agent.desired.generation == first)
        await hub.want(Configuration(floor="public"))

        async def is_refused() -> bool:
            generation, refusal = await hub.applied()
            return generation == first and refusal.startswith("CONFIGURATION_WIDENS: ")

        await eventually(is_refused)
        assert (agent.desired.generation, agent.desired.narrowing.cache_disabled) == (first, True)


async def test_a_command_made_while_the_agent_is_away_is_done_once_when_it_comes(hub: HubUnderTest, tmp_path: Path) -> None:
    name = await hub.tell(Command.FORGET_ANSWERS)
    async with fleet_agent(hub.identity, tmp_path) as agent:
        await eventually(lambda: is_in(hub, name, Command.SUCCEEDED))
        assert agent.done.names == [name]
        assert (await hub.command(name)).output == "3 answers forgotten"
    async with fleet_agent(hub.identity, tmp_path) as agent:
        another = await hub.tell(Command.FORGET_ANSWERS)
        await eventually(lambda: is_in(hub, another, Command.SUCCEEDED))
        assert agent.done.names == [another]


async def test_a_command_that_takes_long_blocks_no_other(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        slow, quick = await hub.tell(Command.RUN_DOCTOR), await hub.tell(Command.FORGET_ANSWERS)
        await eventually(lambda: is_in(hub, quick, Command.SUCCEEDED))
        await eventually(lambda: is_in(hub, slow, Command.BEGUN))
        agent.done.released.set()
        await eventually(lambda: is_in(hub, slow, Command.SUCCEEDED))


async def test_a_restart_succeeds_with_the_next_start(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        name = await hub.tell(Command.RESTART)
        await eventually(lambda: agent.done.restarts == 1)
    async with fleet_agent(hub.identity, tmp_path) as agent:
        await eventually(lambda: is_in(hub, name, Command.SUCCEEDED))
        assert agent.done.restarts == 0


async def test_a_suspended_agent_is_cut_off_and_comes_back_when_it_is_resumed(hub: HubUnderTest, tmp_path: Path) -> None:
    async with fleet_agent(hub.identity, tmp_path) as agent:
        await eventually(lambda: agent.session.state == "open")
        await hub.suspend()
        await eventually(lambda: agent.session.state == "waiting: agent-suspended")
        await hub.resume()
        await eventually(lambda: agent.session.state == "open")
