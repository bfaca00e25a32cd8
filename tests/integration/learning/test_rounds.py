"""Rounds over Flower between a real hub and real sessions of agents, each with a child process of its own."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.identity.files import Identity
from agent.learning.carrier import Answer
from hub.config import LearningSettings, Limits
from hub.learning.opening import Learning
from tests.fakes.fleet_agent import FleetAgent, eventually, fleet_agent
from tests.fakes.hub import RunningHub, running_hub

DEADLINE_SECONDS = 60.0


async def echo(message: bytes) -> bytes:
    return b"echo of " + message


@dataclass
class Fleet:
    hub: RunningHub
    agents: dict[str, FleetAgent]

    @property
    def learning(self) -> Learning:
        assert self.hub.hub.learning is not None
        return self.hub.hub.learning


@asynccontextmanager
async def fleet(folder: Path, names: Sequence[str], answering: Callable[[str], Answer], learns: bool = True) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        settings = LearningSettings(listen="127.0.0.1:0")
        hub = await stack.enter_async_context(running_hub(folder / "hub", limits=Limits(stop_seconds=0), learning=settings))
        agents = {}
        for name in names:
            pair = await hub.enroll(name)
            identity = Identity(
                name, "seawall.test", hub.mtls_target, pair.key, pair.certificate, hub.ca_certificate, hub.enrollment_target
            )
            (folder / name).mkdir()
            running = fleet_agent(identity, folder / name, answering=partial(answering, name), learns=learns)
            agents[name] = await stack.enter_async_context(running)
        await eventually(lambda: all(agent.session.state == "open" for agent in agents.values()))
        yield Fleet(hub, agents)


async def test_messages_reach_every_agent_and_their_answers_come_back(tmp_path: Path) -> None:
    async with fleet(tmp_path, ["a1", "a2", "a3", "a4"], lambda _: echo) as site:
        async with site.learning.transport.open(list(site.agents), DEADLINE_SECONDS, 40) as grid:
            assert set(grid.reachable()) == set(site.agents)
            for stage in (b"first", b"second"):
                messages = {name: stage + name.encode() for name in site.agents}
                assert await grid.exchange(messages, 20) == {name: b"echo of " + message for name, message in messages.items()}
        await eventually(lambda: all(agent.taking_part.state == "waiting, last round: over" for agent in site.agents.values()))
