"""A real hub that plays rounds, and agents with real sessions that take part in them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.identity.files import Identity
from agent.learning.carrier import Answer, carry
from agent.learning.taking_part import Carrying
from hub.config import LearningSettings, Limits
from hub.learning.opening import Learning
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, command_pb2, command_pb2_grpc
from tests.fakes.fleet_agent import FleetAgent, eventually, fleet_agent
from tests.fakes.hub import RunningHub, running_hub


@dataclass
class LearningSite:
    """The hub, its operator's hands, and the agents."""

    hub: RunningHub
    agents: dict[str, FleetAgent]

    @property
    def learning(self) -> Learning:
        assert self.hub.hub.learning is not None
        return self.hub.hub.learning

    async def suspend(self, name: str) -> None:
        async with self.hub.channel(self.hub.operator) as channel:
            await agent_pb2_grpc.AgentServiceStub(channel).SuspendAgent(agent_pb2.SuspendAgentRequest(name=f"agents/{name}"))

    async def last_command(self, name: str) -> command_pb2.Command:
        async with self.hub.channel(self.hub.operator) as channel:
            stub = command_pb2_grpc.CommandServiceStub(channel)
            listed = await stub.ListCommands(command_pb2.ListCommandsRequest(parent=f"agents/{name}"))
            return await stub.GetCommand(command_pb2.GetCommandRequest(name=listed.commands[0].name))


@asynccontextmanager
async def learning_site(
    folder: Path, answers: Mapping[str, Callable[[], Answer]], off: frozenset[str] = frozenset(), carrying: Carrying = carry
) -> AsyncIterator[LearningSite]:
    """Starts them, and ends them with the block.

    Args:
        folder: for all that they keep.
        answers: by agent, what makes that which answers a round's messages.
        off: the agents whose owner has not turned learning on.
        carrying: what carries a round on their side.
    """
    async with AsyncExitStack() as stack:
        settings = LearningSettings(listen="127.0.0.1:0")
        hub = await stack.enter_async_context(running_hub(folder / "hub", limits=Limits(stop_seconds=0), learning=settings))
        agents = {}
        for name, answering in answers.items():
            pair = await hub.enroll(name)
            addresses = hub.mtls_target, hub.enrollment_target
            identity = Identity(name, "seawall.test", addresses[0], pair.key, pair.certificate, hub.ca_certificate, addresses[1])
            (folder / name).mkdir()
            starting = fleet_agent(identity, folder / name, answering=answering, learns=name not in off, carrying=carrying)
            agents[name] = await stack.enter_async_context(starting)
        site = LearningSite(hub, agents)
        await eventually(lambda: all(agent.session.state == "open" for agent in agents.values()), 60)
        await site.learning.role.held()
        yield site
