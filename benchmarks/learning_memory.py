"""What learning costs an agent's memory outside of a round: real agents with the real model, a real hub, rounds over Flower.

What is read is what a process has for itself (smaps_rollup of proc(5): Private_Clean and Private_Dirty), and Pss. Every agent has answered
some prompts by then, and has given back what its start had needed at its height, or else what a round leaves would be hidden in there.
Some agents have learning off and cannot import Flower; they grow by themselves, if at all, and what they grow by is no part of learning.
"""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import median

import httpx2
import structlog

from agent.learning.sketching import GATHER_SECONDS
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.learning import span, windows_over
from hub.clock import utc_now
from hub.config import LearningSettings, Limits
from hub.store import agents
from tests.fakes.answerer import receipt
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import running_hub
from tests.fakes.operator_site import Site
from tests.fakes.running_agent import AgentProcess, running

BUNDLE = Path(__file__).parents[1] / "build" / "models" / "smollm2-135m-instruct-int8"
LEARNING, OFF = 8, 4
"""How many agents take part, and how many have learning off."""
ROUNDS = 2
ANSWERS = 200
"""Of each device, in each week that is asked for."""
PROMPTS = 3
IDLE_SECONDS = 25.0
"""An agent gives memory back when it has had no prompt for ten."""

FIGURES = (
    "agent_memory_off_bytes",
    "agent_memory_on_bytes",
    "agent_memory_off_growth_bytes",
    "agent_memory_growth_bytes",
    "agent_memory_second_round_bytes",
)

_START = """
import signal
from agent.__main__ import main
from agent.service import give_memory_back
signal.signal(signal.SIGUSR1, lambda *_: give_memory_back())
main()
"""
_NO_FLOWER = "import sys; sys.modules['flwr'] = None"


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, bytes."""

    private: int
    pss: int


@dataclass(frozen=True, slots=True)
class Readings:
    """Of agents, before the first round and after each, in that order.

    Args:
        off: of those with learning off, one list each.
        learning: of those that take part.
    """

    off: Sequence[Sequence[Memory]]
    learning: Sequence[Sequence[Memory]]

    def figures(self) -> dict[str, int | None]:
        """Returns medians over agents: of the memory, and of by how much it has grown."""
        found = (
            [each[0].private for each in self.off],
            [each[0].private for each in self.learning],
            [each[-1].private - each[0].private for each in self.off],
            [each[-1].private - each[0].private for each in self.learning],
            [each[-1].private - each[-2].private for each in self.learning],
        )
        return dict(zip(FIGURES, map(_middle, found), strict=True))

    def table(self) -> dict[str, list[int]]:
        """Returns the medians of each reading, by kind, and by how much each agent has grown."""
        found = dict[str, list[int]]()
        for name, each in (("off", self.off), ("learning", self.learning)):
            found[f"{name}_private_bytes"] = [_middle([one.private for one in column]) for column in zip(*each, strict=True)]
            found[f"{name}_pss_bytes"] = [_middle([one.pss for one in column]) for column in zip(*each, strict=True)]
            found[f"{name}_growth_bytes"] = sorted(one[-1].private - one[0].private for one in each)
        return found


class _Measured(AgentProcess):
    """An agent of which is known whether Flower is there."""

    def __init__(self, folder: Path, is_learning: bool) -> None:
        super().__init__(folder, BUNDLE, SEAWALL_AGENT_LEARNING__ENABLED=str(is_learning).lower())
        self.program = ("-c", _START if is_learning else _NO_FLOWER + _START)
        self.is_learning = is_learning

    async def ask(self) -> None:
        """Has it answer some prompts."""
        async with httpx2.AsyncClient(timeout=60) as client:
            for number in range(PROMPTS):
                body = {"messages": [{"role": "user", "content": f"What is {number} plus 1?"}], "max_tokens": 8}
                (await client.post(f"{self.url}/v1/chat/completions", json=body)).raise_for_status()

    def give_back(self) -> None:
        """Has it give back what is free of its memory."""
        self.process.send_signal(signal.SIGUSR1)

    def memory(self) -> Memory:
        """Reads what it has now."""
        return read_memory(Path(f"/proc/{self.process.pid}/smaps_rollup").read_text())


def no_figures() -> dict[str, int | None]:
    """Returns what is said where nobody may look."""
    return dict.fromkeys(FIGURES)


def read_memory(text: str) -> Memory:
    """Reads proc(5)'s smaps_rollup."""
    fields = {words[0]: int(words[1]) * 1024 for line in text.splitlines() if (words := line.split())[-1] == "kB"}
    return Memory(fields["Private_Clean:"] + fields["Private_Dirty:"], fields["Pss:"])


def measure_memory() -> Readings:
    """Plays rounds, and reads what they leave.

    Raises:
        PermissionError: agents let nobody but root look at their memory.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(_measure())


async def _measure() -> Readings:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = LearningSettings(listen="127.0.0.1:0", cohort=LEARNING, smallest_cohort=LEARNING)
        limits = Limits(stop_seconds=0, last_seen_seconds=0.1)
        hub = await stack.enter_async_context(running_hub(folder / "hub", limits=limits, learning=settings))
        site = Site(hub, folder / "ceremony", folder, stack)
        await site.trust()
        found = [await _started(site, f"agent-{number}", number < LEARNING) for number in range(LEARNING + OFF)]
        await site.sign_roster()
        return await _played(site, found)


async def _started(site: Site, name: str, is_learning: bool) -> _Measured:
    folder = site.folder / name
    folder.mkdir()
    await site.enrolled(name, folder / "state")
    await _fill(site, name)
    agent = _Measured(folder, is_learning)
    await site.stack.enter_async_context(running(agent))
    await agent.ask()
    return agent


async def _fill(site: Site, name: str) -> None:
    """Gives a device something to count."""
    database = Database(site.devices[name].database)
    try:
        store = ReceiptStore(database, age_seconds=1e9)
        for window in windows_over(utc_now())[:ROUNDS]:
            time = span(window)[0] + timedelta(days=1)
            for number in range(ANSWERS):
                given = replace(receipt("p"), receipt_id=f"{name}-{window}-{number}")
                await store.append("c", given, time.timestamp(), may_learn=True)
    finally:
        database.close()


async def _played(site: Site, found: Sequence[_Measured]) -> Readings:
    async def are_heard_of() -> bool:
        records = await site.hub.hub.database.read(lambda connection: agents.page(connection, "", len(found)))
        return all(one.replica_id is not None and one.last_seen_time is not None for one in records)

    await eventually(are_heard_of, 60)
    await asyncio.sleep(GATHER_SECONDS + IDLE_SECONDS)  # what was asked is sketched by then
    for agent in found:
        agent.give_back()
    readings: list[list[Memory]] = [await _read(found)]
    for window in windows_over(utc_now())[:ROUNDS]:
        begun = await site.read("learning", "start", "--window", window)
        ended = await site.ended(begun["name"])
        if ended["state"] != "SUCCEEDED":
            raise RuntimeError(f"the round of {window} has failed: {ended}")
        readings.append(await _read(found))
    by_agent = list(zip(*readings, strict=True))
    of: Mapping[bool, list[Sequence[Memory]]] = {
        kind: [each for agent, each in zip(found, by_agent, strict=True) if agent.is_learning is kind] for kind in (False, True)
    }
    return Readings(of[False], of[True])


async def _read(found: Sequence[_Measured]) -> list[Memory]:
    """Reads what agents have once they have been idle for a while: that is what is measured, so it is waited for."""
    await asyncio.sleep(IDLE_SECONDS)
    return [agent.memory() for agent in found]


def _middle(values: Sequence[int]) -> int:
    return round(median(values))
