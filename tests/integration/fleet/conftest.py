"""Hubs with one agent: the fake one, which can fail as it is told to, and the real one."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from agent.identity.files import Identity
from hub.config import Limits
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, command_pb2, command_pb2_grpc, group_pb2, group_pb2_grpc
from tests.fakes.fleet_hub import RunningFakeHub, fake_fleet_hub
from tests.fakes.hub import RunningHub, running_hub
from tests.integration.fleet.hubs import AGENT_ID, HubUnderTest

AGENT = f"agents/{AGENT_ID}"


class FakeUnderTest:
    """The fake hub, as the conformance test sees it."""

    def __init__(self, running: RunningFakeHub) -> None:
        self.identity = running.identity()
        self._hub = running.hub
        self.want, self.applied, self.tell = self._hub.want, self._hub.applied, self._hub.tell
        self.command, self.suspend, self.resume = self._hub.command, self._hub.suspend, self._hub.resume


class RealUnderTest:
    """The real hub, by way of its operator's calls."""

    def __init__(self, identity: Identity, channel: grpc.aio.Channel) -> None:
        self.identity = identity
        self._agents = agent_pb2_grpc.AgentServiceStub(channel)
        self._groups = group_pb2_grpc.GroupServiceStub(channel)
        self._commands = command_pb2_grpc.CommandServiceStub(channel)
        self._is_grouped = False

    async def want(self, configuration: group_pb2.Configuration) -> int:
        if self._is_grouped:
            group = group_pb2.Group(name="groups/all", configuration=configuration)
            await self._groups.UpdateGroup(group_pb2.UpdateGroupRequest(group=group))
        else:
            group = group_pb2.Group(configuration=configuration)
            await self._groups.CreateGroup(group_pb2.CreateGroupRequest(group_id="all", group=group, request_id=str(uuid.uuid4())))
            self._is_grouped = True
        return int((await self._agent()).desired_generation)

    async def applied(self) -> tuple[int, str]:
        agent = await self._agent()
        return agent.applied_generation, agent.refusal

    async def tell(self, action: command_pb2.Command.Action.ValueType) -> str:
        command = command_pb2.Command(action=action)
        request = command_pb2.CreateCommandRequest(parent=AGENT, command=command, request_id=str(uuid.uuid4()))
        return str((await self._commands.CreateCommand(request)).name)

    async def command(self, name: str) -> command_pb2.Command:
        return await self._commands.GetCommand(command_pb2.GetCommandRequest(name=name))

    async def suspend(self) -> None:
        await self._agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name=AGENT))

    async def resume(self) -> None:
        await self._agents.ResumeAgent(agent_pb2.ResumeAgentRequest(name=AGENT))

    async def _agent(self) -> agent_pb2.Agent:
        return await self._agents.GetAgent(agent_pb2.GetAgentRequest(name=AGENT))


@pytest.fixture
async def fake() -> AsyncIterator[RunningFakeHub]:
    async with fake_fleet_hub() as running:
        yield running


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", limits=Limits(stop_seconds=0, heartbeat_seconds=0.2)) as running:
        yield running


async def enrolled(running: RunningHub) -> Identity:
    """An agent of the real hub, as its own files would have it."""
    pair = await running.enroll(AGENT_ID)
    trust_domain = running.settings.trust_domain
    return Identity(
        AGENT_ID, trust_domain, running.mtls_target, pair.key, pair.certificate, running.ca_certificate, running.enrollment_target
    )


@pytest.fixture(params=["fake", "real"])
async def hub(request: Any, tmp_path: Path) -> AsyncIterator[HubUnderTest]:
    if request.param == "fake":
        async with fake_fleet_hub() as fake_running:
            yield FakeUnderTest(fake_running)
        return
    limits = Limits(stop_seconds=0, heartbeat_seconds=0.2)
    async with running_hub(tmp_path / "hub", limits=limits) as running, running.channel(running.operator) as channel:
        yield RealUnderTest(await enrolled(running), channel)
