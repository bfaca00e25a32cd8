"""Two hub processes on one PostgreSQL behind a load balancer: one is killed under load."""

import asyncio
import json
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.connection import SessionTimes
from agent.identity.files import Identity
from hub.folder import DataFolder
from seawall.hub.v1 import agent_pb2, command_pb2, group_pb2
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.balancer import balancer
from tests.fakes.fleet_agent import FleetAgent, eventually, fleet_agent
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_process import HubProcess, serving
from tests.fakes.postgres import Postgres

AGENTS = 6
MOVE_SECONDS = 30
"""Within which agents have moved over: what the fleet promises, and far more than it takes."""


@dataclass
class Site:
    """Two hubs, agents with the delays that they have in the field, and an operator; all behind one address."""

    hubs: list[HubProcess]
    agents: dict[str, FleetAgent]
    operator: Operator


async def enroll_all(folder: Path, url: str) -> list[Identity]:
    """Enrols the agents with a hub that is gone when they come."""
    async with running_hub(folder, database_url=url) as hub:
        return [await as_identity(hub, f"plant-{number}") for number in range(AGENTS)]


async def as_identity(hub: RunningHub, agent_id: str) -> Identity:
    pair = await hub.enroll(agent_id)
    return Identity(agent_id, "seawall.test", "", pair.key, pair.certificate, hub.ca_certificate, hub.enrollment_target)


@pytest.fixture
async def site(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Site]:
    url = postgres.create_database()
    identities = await enroll_all(tmp_path / "hub", url)
    async with AsyncExitStack() as stack:
        hubs = [stack.enter_context(serving(tmp_path / "hub", SEAWALL_HUB_DATABASE_URL=url)) for _ in range(2)]
        address = await stack.enter_async_context(balancer([hub.mtls for hub in hubs]))
        agents = {}
        for identity in identities:
            folder = tmp_path / identity.agent_id
            folder.mkdir()
            running = fleet_agent(replace(identity, hub_address=address), folder, times=SessionTimes())
            agents[identity.agent_id] = await stack.enter_async_context(running)
        operator = await stack.enter_async_context(operator_at(tmp_path / "hub", address))
        yield Site(hubs, agents, operator)


@asynccontextmanager
async def operator_at(folder: Path, address: str) -> AsyncIterator[Operator]:
    key, certificate = DataFolder(folder).operator.read()
    credentials = grpc.ssl_channel_credentials(DataFolder(folder).ca.certificate_path.read_bytes(), key, certificate)
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        yield Operator(channel)


class Load:
    """Commands for all agents, one after the other, each asked for until it is acknowledged."""

    def __init__(self, operator: Operator, agent_ids: list[str]) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        self._operator = operator
        self._agent_ids = agent_ids
        self._stopped = False

    async def run(self, agent_id: str) -> None:
        while not self._stopped:
            request = command_pb2.CreateCommandRequest(
                parent=f"agents/{agent_id}", command=Command(action=Command.FORGET_ANSWERS), request_id=str(uuid.uuid4())
            )
            await self._insist(request)

    async def _insist(self, request: command_pb2.CreateCommandRequest) -> None:
        while True:
            try:
                made = await self._operator.commands.CreateCommand(request, timeout=10)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                self.refused += 1
                await asyncio.sleep(0.1)
            else:
                self.acknowledged.append(made.name)
                return

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.run(agent_id)) for agent_id in self._agent_ids]
        try:
            yield
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)


@pytest.mark.parametrize("killed", [0, 1])
async def test_either_hub_is_killed_under_load_and_nothing_acknowledged_is_lost_or_done_twice(site: Site, killed: int) -> None:
    await eventually(lambda: all(agent.session.state == "open" for agent in site.agents.values()), 60)
    load = Load(site.operator, list(site.agents))
    async with load.going_on():
        await eventually(lambda: len(load.acknowledged) > 100, 60)
        group = group_pb2.Group(configuration=group_pb2.Configuration(cache_disabled=True))
        await site.operator.groups.CreateGroup(group_pb2.CreateGroupRequest(group_id="all", group=group, request_id=str(uuid.uuid4())))
        site.hubs[killed].end(signal.SIGKILL)
        killed_at = time.monotonic()
        await eventually(lambda: any(agent.session.state != "open" for agent in site.agents.values()))
        await eventually(lambda: all(agent.session.state == "open" for agent in site.agents.values()), MOVE_SECONDS)
        moved_seconds = time.monotonic() - killed_at
        acknowledged = len(load.acknowledged)
        await eventually(lambda: len(load.acknowledged) > acknowledged + 100, 60)
    await eventually(lambda: sum(len(agent.done.names) for agent in site.agents.values()) >= len(load.acknowledged), 60)
    done = sorted(name for agent in site.agents.values() for name in agent.done.names)
    assert done == sorted(load.acknowledged)
    await eventually(lambda: all_succeeded(site.operator, load.acknowledged), 60)
    await eventually(lambda: all_applied(site.operator), 60)
    print(json.dumps({"moved_seconds": round(moved_seconds, 1), "commands": len(done), "asked_again": load.refused}))


async def all_succeeded(operator: Operator, names: list[str]) -> bool:
    found = [await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=name)) for name in names]
    return all(command.state == Command.SUCCEEDED for command in found)


async def all_applied(operator: Operator) -> bool:
    """Whether all are there, and run by what was acknowledged before the kill."""
    agents = (await operator.agents.ListAgents(agent_pb2.ListAgentsRequest())).agents
    return len(agents) == AGENTS and all(one.connected and 0 < one.applied_generation == one.desired_generation for one in agents)
