"""A round over real connections: a hub, its agents' sessions, and on either side a child process that speaks Flower, on this machine."""

import asyncio
import logging
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.learning.carrier import Answer
from contract.secagg.server import Coordinator
from hub.learning.grid import Grid
from tests.fakes.fleet_agent import eventually
from tests.fakes.learning_site import LearningSite, learning_site
from tests.fakes.secagg_cohort import Cohort

DEADLINE_SECONDS, GATHER_SECONDS, STAGE_SECONDS = 300.0, 120.0, 60.0


@dataclass
class RealRounds:
    """What rounds have taken.

    Args:
        seconds: of each, from the word to the agents until the sum is there.
        stages_seconds: of these, for the five stages; the rest is for processes to begin.
        processor_seconds: of each round, of all processes.
        is_exact: whether each sum was that of the devices' vectors.
    """

    seconds: list[float] = field(default_factory=list)
    stages_seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    is_exact: bool = True


def run_real_rounds(devices: int, entries: int, rounds: int) -> RealRounds:
    """Plays rounds, one after the other.

    Args:
        devices: in each.
        entries: of each vector.
        rounds: how many.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(_run(devices, entries, rounds))


def _processor_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


async def _run(devices: int, entries: int, rounds: int) -> RealRounds:
    cohort, found = Cohort(devices, entries), RealRounds()

    def answering(agent: str) -> Callable[[], Answer]:
        def begin() -> Answer:
            participant = cohort.participant(agent)

            async def answer(message: bytes) -> bytes:
                return await asyncio.to_thread(participant.receive, message)

            return answer

        return begin

    with tempfile.TemporaryDirectory() as folder:
        async with learning_site(Path(folder), {agent: answering(agent) for agent in cohort.agents}) as site:
            for number in range(rounds):
                cohort = Cohort(devices, entries, seed=number)
                await _play(site, cohort, found)
    return found


async def _play(site: LearningSite, cohort: Cohort, found: RealRounds) -> None:
    coordinator, begin, begin_processor = Coordinator(cohort.plan(), cohort.roster), time.monotonic(), _processor_seconds()
    async with site.learning.transport.open(cohort.agents, DEADLINE_SECONDS, GATHER_SECONDS) as grid:
        gathered = time.monotonic()
        await _exchange_all(coordinator, grid)
        end = time.monotonic()
    found.seconds.append(end - begin)
    found.stages_seconds.append(end - gathered)
    found.is_exact &= coordinator.sum is not None and coordinator.sum.values == cohort.sum_of(cohort.agents)
    await eventually(lambda: all("waiting" in agent.taking_part.state for agent in site.agents.values()), 60)
    found.processor_seconds.append(_processor_seconds() - begin_processor)


async def _exchange_all(coordinator: Coordinator, grid: Grid) -> None:
    messages = coordinator.invitations()
    while messages:
        for agent, answer in (await grid.exchange(messages, STAGE_SECONDS)).items():
            coordinator.receive(agent, answer)
        messages = coordinator.close_stage()
