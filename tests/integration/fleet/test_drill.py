"""The restore drill: back up while the hub serves, lose everything, restore; the same fleet goes on, on either engine."""

import asyncio
import shutil
import signal
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.identity.files import Identity
from seawall.hub.v1 import agent_pb2, command_pb2, event_pb2, group_pb2
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.fleet_agent import FleetAgent, eventually, fleet_agent
from tests.fakes.hub import running_hub
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_process import HubProcess, run_hub, serving
from tests.fakes.postgres import Postgres
from tests.integration.fleet.conftest import enrolled
from tests.integration.fleet.test_replicas import operator_at


async def fleet_of(operator: Operator) -> list[Any]:
    """All that an operator sees, but for what goes on by itself."""
    agents = (await operator.agents.ListAgents(agent_pb2.ListAgentsRequest())).agents
    for one in agents:
        one.ClearField("last_seen_time")
        one.ClearField("connected")
    groups = (await operator.groups.ListGroups(group_pb2.ListGroupsRequest())).groups
    commands = (await operator.commands.ListCommands(command_pb2.ListCommandsRequest(parent="agents/-"))).commands
    events = (await operator.events.ListEvents(event_pb2.ListEventsRequest(page_size=100))).events
    return [list(agents), list(groups), list(commands), [event for event in events if "CONNECTED" not in event.type]]


async def has_ended(operator: Operator, command: Command) -> bool:
    return bool((await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=command.name))).state == Command.SUCCEEDED)


def at(hub: HubProcess, identity: Identity, folder: Path) -> AbstractAsyncContextManager[FleetAgent]:
    return fleet_agent(replace(identity, hub_address=hub.mtls), folder)


async def test_what_was_backed_up_comes_back_and_the_agents_go_on(tmp_path: Path, database_url: str, postgres: Postgres) -> None:
    data, file, folder = tmp_path / "hub", tmp_path / "backup.tar.gz", tmp_path / "agent"
    folder.mkdir()
    async with running_hub(data, database_url=database_url) as first:
        identity = await enrolled(first)
    with serving(data, SEAWALL_HUB_DATABASE_URL=database_url) as hub:
        async with operator_at(data, hub.mtls) as operator:
            await operator.want("all", cache_disabled=True)
            done = await operator.command(Command.FORGET_ANSWERS)
            async with at(hub, identity, folder):
                await eventually(lambda: has_ended(operator, done))
            pending = await operator.command(Command.FORGET_ANSWERS)
            before = await fleet_of(operator)
        saved = await asyncio.to_thread(run_hub, "backup", str(file), "--data", str(data), SEAWALL_HUB_DATABASE_URL=database_url)
        assert "holds 1 agents" in saved.stdout, saved.stderr
        hub.end(signal.SIGKILL)
    shutil.rmtree(data)
    url = postgres.create_database() if database_url.startswith("postgresql") else f"sqlite:///{tmp_path / 'new.db'}"
    result = await asyncio.to_thread(run_hub, "restore", str(file), "--data", str(data), SEAWALL_HUB_DATABASE_URL=url)
    assert "holds 1 agents" in result.stdout, result.stderr
    with serving(data, SEAWALL_HUB_DATABASE_URL=url) as hub:
        async with operator_at(data, hub.mtls) as operator:
            assert await fleet_of(operator) == before
            async with at(hub, identity, folder) as agent:
                await eventually(lambda: has_ended(operator, pending))
                assert agent.done.names == [pending.name]


async def test_a_database_that_is_not_empty_is_not_written_over(tmp_path: Path, database_url: str) -> None:
    async with running_hub(tmp_path / "hub", database_url=database_url) as hub:
        await enrolled(hub)
    arguments = ("--data", str(tmp_path / "hub"))
    variables = {"SEAWALL_HUB_DATABASE_URL": database_url}
    assert run_hub("backup", str(tmp_path / "file"), *arguments, **variables).returncode == 0
    result = run_hub("restore", str(tmp_path / "file"), "--data", str(tmp_path / "new"), **variables)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: The backup cannot be restored: the database is not empty.\n"


@pytest.mark.parametrize("url", ["postgresql://u:SECRET@127.0.0.1:1/x", "postgresql+nonsense://u:SECRET@h/x", "nonsense"])
def test_a_database_that_cannot_be_had_is_one_line_without_its_password(tmp_path: Path, url: str) -> None:
    assert run_hub("init", "--data", str(tmp_path / "hub")).returncode == 0
    for command in (("serve",), ("backup", str(tmp_path / "file"))):
        result = run_hub(*command, "--data", str(tmp_path / "hub"), SEAWALL_HUB_DATABASE_URL=url)
        assert result.returncode == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert "database_url" in result.stderr
        assert "SECRET" not in result.stderr
