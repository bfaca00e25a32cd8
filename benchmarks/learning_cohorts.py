"""Cohorts in the hub's child: real TLS and Flower on both sides, each device a thread of this process, told without a session."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from hub.learning.carriers import Carriers
from hub.learning.conducting import Progress, conduct
from tests.fakes.fleet_agent import eventually
from tests.fakes.flower_devices import FlowerDevices, carriers, hub_children
from tests.fakes.secagg_cohort import Cohort

SECONDS = 900.0
"""Far more than any of it takes."""

LOOK_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class CohortCosts:
    """What cohorts have cost.

    Args:
        seconds: from the first device's start until the last sum, the child's start aside.
        processor_seconds: of the child, its start aside.
        mib: that the child had in memory at most.
        data_mib: of what its limit counts, at most.
        is_exact: whether every sum was that of its devices' vectors.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0
    mib: int = 0
    data_mib: int = 0
    is_exact: bool = True


def run_cohorts(cohorts: int, devices: int, entries: int, answer_seconds: float, at_once: bool = True) -> CohortCosts:
    """Plays the rounds of some cohorts, in one child.

    Args:
        cohorts: how many.
        devices: in each.
        entries: of each vector.
        answer_seconds: that each device takes for each answer, besides: a slow device, or a slow link.
        at_once: else one after the other.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(_run([Cohort(devices, entries, seed=number) for number in range(cohorts)], answer_seconds, at_once))


async def _run(cohorts: list[Cohort], answer_seconds: float, at_once: bool) -> CohortCosts:
    made, found = carriers(), CohortCosts()
    async with made.entered(), _watched(hub_children()[0], found):
        begin = time.monotonic()
        plays = [_play(made, cohort, answer_seconds) for cohort in cohorts]
        found.is_exact = all(await asyncio.gather(*plays) if at_once else [await play for play in plays])
        found.seconds = time.monotonic() - begin
    return found


async def _play(made: Carriers, cohort: Cohort, answer_seconds: float) -> bool:
    """Returns whether the sum is exact."""
    async with made.entered() as running:
        participants, progress = cohort.participants(), Progress()

        async def answer(agent: str, message: bytes) -> bytes:
            await asyncio.sleep(answer_seconds)
            return await asyncio.to_thread(participants[agent].receive, message)

        devices = FlowerDevices(answer)
        with running.carrier.cohort() as grid:
            for agent in cohort.agents:
                grid.admit(agent, devices.begin(agent, running.port, running.certificate))
            await grid.until_reachable(cohort.agents, SECONDS)
            await conduct(cohort.plan(), cohort.roster, grid, SECONDS, progress)
        await eventually(lambda: not devices.there, SECONDS)
    return progress.sum is not None and progress.sum.values == cohort.sum_of(cohort.agents)


@asynccontextmanager
async def _watched(process: int, found: CohortCosts) -> AsyncIterator[None]:
    """Counts what a process takes until the block ends."""
    begin, watching = _processor_seconds(process), asyncio.create_task(_watch(process, found))
    try:
        yield
    finally:
        watching.cancel()
        found.processor_seconds = _processor_seconds(process) - begin
        found.mib = _mib(process, "VmHWM")


async def _watch(process: int, found: CohortCosts) -> None:
    while True:
        found.data_mib = max(found.data_mib, _mib(process, "VmData"))
        await asyncio.sleep(LOOK_SECONDS)


def _processor_seconds(process: int) -> float:
    """proc(5): the fields of /proc/PID/stat behind the name, utime and stime the twelfth and thirteenth of them."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _mib(process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(f"{name}:"))
