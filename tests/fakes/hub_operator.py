"""An operator's end: stubs, and the calls that many tests make."""

from typing import Any
from uuid import uuid4

from seawall.hub.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    command_pb2,
    command_pb2_grpc,
    event_pb2_grpc,
    group_pb2,
    group_pb2_grpc,
)


class Operator:
    """The operator's stubs."""

    def __init__(self, channel: Any) -> None:
        self.agents: Any = agent_pb2_grpc.AgentServiceStub(channel)
        self.groups: Any = group_pb2_grpc.GroupServiceStub(channel)
        self.events: Any = event_pb2_grpc.EventServiceStub(channel)
        self.commands: Any = command_pb2_grpc.CommandServiceStub(channel)

    async def agent(self, name: str = "agents/plant-7") -> agent_pb2.Agent:
        found = await self.agents.GetAgent(agent_pb2.GetAgentRequest(name=name))
        assert isinstance(found, agent_pb2.Agent)
        return found

    async def want(self, group_id: str, **configuration: Any) -> None:
        group = group_pb2.Group(configuration=group_pb2.Configuration(**configuration))
        await self.groups.CreateGroup(group_pb2.CreateGroupRequest(group_id=group_id, group=group, request_id=str(uuid4())))

    async def command(self, action: command_pb2.Command.Action.ValueType = command_pb2.Command.RUN_DOCTOR) -> command_pb2.Command:
        request = command_pb2.CreateCommandRequest(
            parent="agents/plant-7", command=command_pb2.Command(action=action), request_id=str(uuid4())
        )
        made = await self.commands.CreateCommand(request)
        assert isinstance(made, command_pb2.Command)
        return made
