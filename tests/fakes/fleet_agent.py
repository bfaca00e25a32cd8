"""The agent's side of the fleet without its model: link, session, desired state and commands, over a real store."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from agent.commands import Commands
from agent.connection import SessionParts, SessionTimes
from agent.desired import Desired
from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities
from agent.identity.files import Identity, IdentityFolder
from agent.learning.carrier import Answer, carry
from agent.learning.membership import Membership
from agent.learning.taking_part import Carrying, TakingPart
from agent.narrowing import OwnLimits
from agent.releases import Releases
from agent.session import Session
from agent.store.commands import CommandEntry, CommandStore
from agent.store.database import Database
from agent.store.desired import DesiredStore
from agent.store.proofs import prove_drawn
from agent.store.rollouts import RolloutStore
from agent.telemetry import Metrics
from contract.classification import DataClass
from seawall.hub.v1.agent_pb2 import AgentReport
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.answerer import receipt

OWN = OwnLimits(floor=DataClass.INTERNAL, bar=0.6, most_tokens=100, usual_tokens=50)
QUICK = SessionTimes(welcome=5, first_delay=0.05, longest_delay=0.1)
REPORT = AgentReport(version="1.2.3", model="models/fake/versions/1", model_digest=receipt("p").model_digest, policy_digest="sha256:2")


@dataclass
class Done:
    """What commands have done, and what they wait for."""

    names: list[str] = field(default_factory=list)
    restarts: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    log_levels: list[str | None] = field(default_factory=list)

    async def forget(self, entry: CommandEntry) -> str:
        self.names.append(entry.name)
        return "3 answers forgotten"

    async def doctor(self, entry: CommandEntry) -> str:
        """Takes until it is released."""
        self.names.append(entry.name)
        await self.released.wait()
        return "all is well"

    def restart(self) -> None:
        self.restarts += 1


@dataclass
class FleetAgent:
    """The parts."""

    link: HubLink
    session: Session
    told: ToldAuthorities
    desired: Desired
    commands: Commands
    releases: Releases
    metrics: Metrics
    done: Done
    taking_part: TakingPart


async def _unheard(message: bytes) -> bytes:
    raise AssertionError(message)


@asynccontextmanager
async def fleet_agent(
    identity: Identity,
    folder: Path,
    own: OwnLimits = OWN,
    times: SessionTimes = QUICK,
    answering: Callable[[], Answer] = lambda: _unheard,
    learns: bool = True,
    carrying: Carrying = carry,
) -> AsyncIterator[FleetAgent]:
    """Starts one on the store in a folder, and ends it with the block, as a power cut would: nothing is finished."""
    database, link, done = Database(folder / "agent.db"), HubLink(identity), Done()
    metrics = Metrics(CollectorRegistry())
    desired = Desired(DesiredStore(database), own, done.log_levels.append)
    await desired.load()

    async def prove(entry: CommandEntry) -> str:
        return await database.run(lambda tables: prove_drawn(tables, entry.name, entry.log_lines))

    taking_part = TakingPart(lambda: learns, lambda: identity.hub_address, answering, carrying)
    actions = {
        int(Command.FORGET_ANSWERS): done.forget,
        int(Command.RUN_DOCTOR): done.doctor,
        int(Command.PROVE_RECEIPTS): prove,
        int(Command.TAKE_PART): taking_part.take,
    }
    commands = Commands(CommandStore(database), f"agents/{identity.agent_id}", actions, done.restart)
    await commands.recover()
    randomness, told = random.Random(identity.agent_id), ToldAuthorities()
    releases = Releases(RolloutStore(database))
    home = IdentityFolder(folder / "identity")
    if not home.enrolled:
        home.write(identity)
    membership = Membership(home, lambda: link.identity, taking_part.is_enabled)

    def report() -> AgentReport:
        said = AgentReport(member_key=membership.claim())
        said.MergeFrom(REPORT)
        return said

    parts = SessionParts(report, desired, told, commands, releases, randomness, times, heartbeat_answered=metrics.heartbeat_answered)
    session = Session(link, parts, metrics)
    tasks = [asyncio.create_task(work()) for work in (session.run, commands.run, taking_part.run)]
    try:
        yield FleetAgent(link, session, told, desired, commands, releases, metrics, done, taking_part)
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        database.close()


async def eventually(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Waits until something holds; fails when it does not."""
    async with asyncio.timeout(seconds):
        while True:
            result = holds()
            if (await result) if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)
