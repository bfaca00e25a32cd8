"""Whatever is wanted, whatever breaks and whenever the agent ends: what serves has passed the gate, and what is given up gives way."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.releases import State
from contract.errors import NotPossibleNow, Reason, SeawallError, Unavailable
from seawall.hub.v1.rollout_pb2 import DesiredRelease
from tests.fakes.rollout_device import CONFIGURED, Behaviour, Device, World

TROUBLES: tuple[SeawallError | None, ...] = (
    None,
    None,
    Unavailable(Reason.RELEASE_UNAVAILABLE, "The link is down."),
    NotPossibleNow(Reason.DISK_FULL, "The disk is full."),
)
BAD = (Behaviour(probability=0.2), Behaviour(breaks=True), Behaviour(cannot_load=True))


class Walk:
    """A device to which things happen at random.

    Args:
        folder: for its world.
        seed: of what happens.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(folder)
        self.device = Device(self.world)
        self.version = 0
        self.rollout = ""
        self.given_back: set[str] = set()
        self.gate_bad: set[int] = set()

    async def run(self, steps: int) -> None:
        await self.device.start()
        happenings: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.take,
            self.take,
            self.give_back,
            self.answer_well,
            self.answer_well,
            self.answer_badly,
            self.pass_time,
            self.change_link,
            self.restart,
            self.restart,
        ]
        for _ in range(steps):
            await self.random.choice(happenings)()
            for _ in range(self.random.randrange(40)):
                await asyncio.sleep(0)
            await self.check()
        await self.end()

    async def take(self) -> None:
        self.version += 1
        self.rollout = f"r{self.version}"
        if self.random.random() < 0.4:
            self.gate_bad.add(self.version)
            self.world.behaviours[str(self.version)] = self.random.choice(BAD)
        await self.want(DesiredRelease.TAKE)

    async def give_back(self) -> None:
        if self.rollout:
            self.given_back.add(self.rollout)
            await self.want(DesiredRelease.GIVE_BACK)

    async def want(self, action: DesiredRelease.Action.ValueType) -> None:
        await self.device.want(self.rollout, self.version, action, shadow_percent=self.random.choice((0, 100)), shadow_answers=2)

    async def answer_well(self) -> None:
        self.device.answers(5)

    async def answer_badly(self) -> None:
        self.device.answers(5, unsure=self.random.choice((0, 5)), errors=self.random.choice((0, 2)))

    async def pass_time(self) -> None:
        self.world.seconds += self.random.choice((30, 100, 4000))

    async def change_link(self) -> None:
        self.world.trouble = self.random.choice(TROUBLES)
        self.world.both_fit = self.random.random() < 0.5

    async def restart(self) -> None:
        self.device = await self.device.again()

    async def check(self) -> None:
        """The model that answers has passed the gate; a restart finds the same one, or one that served before it."""
        if self.device.models.away == "":
            assert self.device.serves not in self.gate_bad, "a version that the gate refuses serves"

    async def end(self) -> None:
        """Everything is mended; what is wanted comes to its end, and what serves is what that end says."""
        self.world.trouble = None
        before = self.device.serves if self.device.models.away == "" else None
        if self.rollout:
            async with asyncio.timeout(60):
                await self.settle()
            state = (await self.device.report(self.rollout)).state
            if state == State.PROVEN:
                assert self.device.serves == self.version
            elif (entry := await self.device.store.get(f"rollouts/{self.rollout}")) is not None and entry.before is not None:
                assert self.device.serves == int(entry.before.version), "what served before serves again"
            else:
                assert self.device.serves != self.version
        else:
            assert before == CONFIGURED
        self.device = await self.device.again()
        assert self.device.serves not in self.gate_bad
        assert self.device.slots.record.rollout == ""
        await self.device.stop()

    async def settle(self) -> None:
        ended = (State.PROVEN, State.REFUSED, State.ROLLED_BACK)
        while True:
            report = await self.device.report(self.rollout)
            is_wanted_back = self.rollout in self.given_back
            is_over = report.state in ended and not (is_wanted_back and report.state == State.PROVEN)
            if is_over and not self.device.slots.look().rollout and not self.device.models.away:  # a model may still be loaded
                return
            self.device.answers(5)
            self.world.seconds += 5000
            await asyncio.sleep(0.005)


async def walk(folder: Path, seeds: range, steps: int) -> None:
    gc.freeze()
    try:
        for seed in seeds:
            (folder / str(seed)).mkdir()
            await Walk(folder / str(seed), seed).run(steps)
    finally:
        gc.unfreeze()


async def test_what_serves_has_passed_the_gate_whatever_happens(tmp_path: Path) -> None:
    await walk(tmp_path, range(4), 12)


@pytest.mark.system
async def test_what_serves_has_passed_the_gate_whatever_happens_for_long(tmp_path: Path) -> None:
    await walk(tmp_path, range(100, 200), 30)
