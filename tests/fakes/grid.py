"""Carries the messages of rounds within one process, and loses, delays and spoils them as its dice say."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from random import Random

from contract.errors import SeawallError
from contract.secagg.wire import Kind, kind_of

Answer = Callable[[bytes], Awaitable[bytes]]

STAGE_OF = {
    Kind.PLAN: Kind.KEYS,
    Kind.KEY_LIST: Kind.SHARES,
    Kind.DELIVERY: Kind.MASKED,
    Kind.SURVIVORS: Kind.CONSENT,
    Kind.CONSENTS: Kind.UNMASKING,
}
"""What is awaited of a device that is sent this."""


class Fate(Enum):
    """What becomes of one message and its answer."""

    CARRIED = 0
    LOST = 1
    """The device never sees it."""
    UNANSWERED = 2
    """The device answers, and the answer is lost."""
    LATE = 3
    """The answer comes with those of the next stage."""
    SPOILED = 4
    """The answer has another last byte. Of a masked vector that would be one that says something else, which nobody can tell."""


Dice = Callable[[str, Kind], Fate]
"""Says of an agent and what is awaited of it what happens."""


def all_well(_agent: str, _stage: Kind) -> Fate:
    return Fate.CARRIED


def dice(seed: int, chance: float) -> Dice:
    """Something happens with such a chance at each stage."""
    random = Random(seed)
    bad = [Fate.LOST, Fate.UNANSWERED, Fate.LATE]
    return lambda _agent, _stage: random.choice(bad) if random.random() < chance else Fate.CARRIED


class FakeGrid:
    """Stands where a `hub.learning.grid.Grid` does.

    Args:
        devices: what answers for each agent.
        roll: decides what happens.
    """

    def __init__(self, devices: Mapping[str, Answer], roll: Dice = all_well) -> None:
        self.devices = dict(devices)
        self.roll = roll
        self.refused = Counter[str]()
        """By reason: what devices would not do."""
        self.crossed: list[bytes] = []
        """All that devices have sent."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """Done within each exchange."""
        self.gathered: list[set[str]] = []
        self.arrived: dict[Kind, set[str]] = {stage: set() for stage in Kind}
        """Whose answer has come in time, by what was awaited."""
        self._late: dict[str, bytes] = {}

    @asynccontextmanager
    async def gather(self, agents: Collection[str]) -> AsyncIterator["FakeGrid"]:
        """Stands where a `hub.learning.conductor.Gather` does."""
        self.gathered.append(set(agents))
        yield self

    def reachable(self) -> Collection[str]:
        return set(self.devices)

    async def exchange(self, messages: Mapping[str, bytes], timeout_seconds: float) -> dict[str, bytes]:
        del timeout_seconds
        if self.meanwhile is not None:
            await self.meanwhile()
        answers = {agent: self._late.pop(agent) for agent in messages if agent in self._late}
        for agent, message in messages.items():
            fate = self.roll(agent, STAGE_OF[kind_of(message)])
            answer = None if fate is Fate.LOST else await self._ask(agent, message)
            if answer is None or fate is Fate.UNANSWERED:
                continue
            if fate is Fate.LATE:
                self._late[agent] = answer
            elif agent not in answers:
                answers[agent] = answer[:-1] + bytes([answer[-1] ^ 1]) if fate is Fate.SPOILED else answer
                self.arrived[STAGE_OF[kind_of(message)]].add(agent)
        return answers

    async def _ask(self, agent: str, message: bytes) -> bytes | None:
        if agent not in self.devices:
            return None
        try:
            answer = await self.devices[agent](message)
        except SeawallError as error:
            self.refused[error.reason] += 1
            return None
        self.crossed.append(answer)
        return answer
