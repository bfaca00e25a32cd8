"""Opens what carries the round of a cohort, from the word to its agents until they are let go.

1. The cohort waits its turn.
2. It enters the child process in which Flower is, with others; the first has it begin, with a certificate and a listener of its own.
3. Agents are told over their sessions; each answers with the key of its node.
4. Nodes with these keys come in. An agent that is suspended or removed is out from the next stage on.
"""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import structlog
from google.protobuf.duration_pb2 import Duration

from contract.carrying import LONGEST_ROUND_SECONDS
from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.secagg.rules import MOST_AGENTS
from hub.fleet.enrollment import Randomness
from hub.learning.carrier import MOST_COHORTS
from hub.learning.carriers import Carriers, Running
from hub.learning.flower_grid import FlowerGrid
from hub.learning.grid import Grid
from hub.store import agents
from hub.store.agents import ACTIVE
from hub.store.database import Database
from seawall.hub.v1.command_pb2 import LearningRound

Invite = Callable[[Collection[str], LearningRound], AsyncIterator[tuple[str, bytes | None]]]
"""As `hub.learning.invitations` does it."""

_log = structlog.get_logger(__name__)


class Transport:
    """Of all cohorts, so many at a time.

    Args:
        carriers: the child that cohorts are in.
        holds_role: says whether this process plays rounds now.
        database: knows who is let in.
        invite: tells agents.
        randomness: returns so many random bytes.
        most_cohorts: at a time.

    Raises:
        NotPossibleNow: CONFIG_INVALID, Flower is not installed.
    """

    def __init__(
        self,
        carriers: Carriers,
        holds_role: Callable[[], bool],
        database: Database,
        invite: Invite,
        randomness: Randomness,
        most_cohorts: int = MOST_COHORTS,
    ) -> None:
        if importlib.util.find_spec("flwr") is None:
            raise NotPossibleNow(
                Reason.CONFIG_INVALID,
                "Flower is not installed, and [learning] listen is set: pip install 'seawall[hub,learning]', or empty it.",
            )
        self._carriers = carriers
        self._holds_role = holds_role
        self._database = database
        self._invite = invite
        self._randomness = randomness
        self._turns = asyncio.Semaphore(most_cohorts)

    @asynccontextmanager
    async def open(self, agent_ids: Collection[str], deadline_seconds: float, gather_seconds: float) -> AsyncIterator[Grid]:
        """Brings agents together, when it is their turn, and lets them go at the end of the block.

        Args:
            agent_ids: whom; who does not come in time is not reachable.
            deadline_seconds: after which agents leave, whatever has become of the round; from when they are told.
            gather_seconds: how long they are waited for.

        Raises:
            InvalidRequest: FIELD_INVALID, there are too many agents, or it is too long.
            NotPossibleNow: LEARNING_UNAVAILABLE, another process of the hub plays rounds; CONFIG_INVALID, the address is taken.
            Unavailable: HUB_UNAVAILABLE, the store is away, or Flower does not begin.
        """
        if len(agent_ids) > MOST_AGENTS or not 0 < deadline_seconds <= LONGEST_ROUND_SECONDS:
            raise InvalidRequest(
                Reason.FIELD_INVALID, f"A round has at most {MOST_AGENTS} agents and {LONGEST_ROUND_SECONDS:.0f} seconds: make it smaller."
            )
        async with self._turns:
            if not self._holds_role():
                raise NotPossibleNow(Reason.LEARNING_UNAVAILABLE, "Another process of this hub plays rounds: leave it to that one.")
            async with self._carriers.entered() as running:
                with running.carrier.cohort() as grid:
                    async with self._gathered(grid, agent_ids, self._word(running, deadline_seconds), gather_seconds):
                        yield AdmittedGrid(grid, self._database)

    def _word(self, running: Running, deadline_seconds: float) -> LearningRound:
        deadline = Duration()
        deadline.FromNanoseconds(int(deadline_seconds * 1e9))
        return LearningRound(round_id=self._randomness(16).hex(), port=running.port, certificate=running.certificate, deadline=deadline)

    @asynccontextmanager
    async def _gathered(
        self, grid: FlowerGrid, agent_ids: Collection[str], told: LearningRound, gather_seconds: float
    ) -> AsyncIterator[None]:
        gathering = asyncio.create_task(self._gather(grid, agent_ids, told))
        try:
            await grid.until_reachable(agent_ids, gather_seconds)
            if gathering.done():
                await gathering  # what broke it is not waited out
            _log.info("agents have come to a round", round=told.round_id, asked=len(agent_ids), came=len(grid.reachable()))
            yield
        finally:
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    async def _gather(self, grid: FlowerGrid, agent_ids: Collection[str], told: LearningRound) -> None:
        async for agent_id, key in self._invite(agent_ids, told):
            if key is None:
                grid.expel(agent_id)
            else:
                grid.admit(agent_id, key)


class AdmittedGrid:
    """A grid of those alone that the hub lets in.

    Args:
        grid: of all who have come.
        database: knows who is let in.
    """

    def __init__(self, grid: FlowerGrid, database: Database) -> None:
        self._grid = grid
        self._database = database

    def reachable(self) -> Collection[str]:
        """Returns the agents that are connected now."""
        return self._grid.reachable()

    async def exchange(self, messages: Mapping[str, bytes], timeout_seconds: float) -> dict[str, bytes]:
        """Sends each agent its message and returns the answers that came in time; of who was shut out meanwhile, there is none.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the store is away, or Flower has ended.
        """
        admitted = await self._admitted(messages)
        answers = await self._grid.exchange({agent: message for agent, message in messages.items() if agent in admitted}, timeout_seconds)
        admitted = await self._admitted(answers)
        return {agent: answer for agent, answer in answers.items() if agent in admitted}

    async def _admitted(self, agent_ids: Collection[str]) -> set[str]:
        found = await self._database.read(lambda connection: agents.due(connection, list(agent_ids)))
        admitted = {agent_id for agent_id, due in found.items() if due.state == ACTIVE}
        for agent_id in set(agent_ids) - admitted:
            self._grid.expel(agent_id)
        return admitted
