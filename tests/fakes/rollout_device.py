"""A device with a hub that wants things of it: real slots, store and worker, models that behave as they are told to, a link that breaks."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.inference.answer import Finished, Piece
from agent.inference.current import CurrentModel
from agent.inference.loading import load_bundle
from agent.inference.scoring import Scored
from agent.inference.session import ModelFailed
from agent.prompts import Message, Sampling
from agent.releases import Releases, State
from agent.store.database import Database
from agent.store.live import LiveStore
from agent.store.rollouts import RolloutEntry, RolloutStore
from agent.traffic import LiveAnswer, Traffic
from agent.update.checks import Checked, Checks
from agent.update.crash_loop import before_start, stopped_in_order
from agent.update.deployment import Deployment, Places
from agent.update.health_gate import HealthGate
from agent.update.progress import Progress
from agent.update.rollout_worker import RolloutWorker, WorkerTimes
from agent.update.slots import Slots, SlotState, Started
from agent.update.starting import open_model
from agent.update.trial import Trial as ReadTrial
from contract.errors import InvalidRequest, NotPossibleNow, Reason, SeawallError
from contract.release import Index
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport, Trial
from tests.fakes.engine import FakeEngine
from tests.fakes.fleet_agent import eventually
from tests.fakes.versions import MODEL, make_version

CONFIGURED = 99
"""The version of the configuration's bundle."""

QUICK = WorkerTimes(look=0.001, first_delay=0.001, longest_delay=0.002, progress=0.0, save=0.001)


@dataclass
class Behaviour:
    """How a version is.

    Args:
        probability: that it gives to every token.
        words: of its answers.
        cannot_load: it is refused when it is loaded.
        breaks: it fails whatever it is asked.
    """

    probability: float = 0.9
    words: Sequence[str] = ("one ", "two ", "three ", "four")
    cannot_load: bool = False
    breaks: bool = False


class VersionEngine(FakeEngine):
    """A verified version that behaves as it is told to."""

    def __init__(self, folder: Path, behaviours: dict[str, Behaviour]) -> None:
        self.bundle = load_bundle(folder)
        self.behaviour = behaviours.get(self.bundle.version, Behaviour())
        super().__init__(self.behaviour.words, self.behaviour.probability)
        self.bundle = load_bundle(folder)
        if self.behaviour.cannot_load:
            raise InvalidRequest(Reason.BUNDLE_INVALID, "It is no graph that can run here.")

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str = "",
        *,
        priority: int = 0,
        deadline_seconds: float | None = None,
    ) -> AsyncGenerator[Piece | Finished, None]:
        if self.behaviour.breaks:
            raise ModelFailed(Reason.INTERNAL, "The model failed.")
        async for piece in super().generate(messages, sampling, client):
            await asyncio.sleep(0)
            yield piece

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        if self.behaviour.breaks:
            raise ModelFailed(Reason.INTERNAL, "The model failed.")
        return await super().score(text)

    async def close(self) -> None:
        """Nothing is to be closed."""


class PowerCut(Exception):
    """The agent ends here."""


@dataclass
class Cut:
    """Where the power is cut.

    Args:
        place: `store`, `load` or `bring`.
        number: of the times that it is come to there, from 0.
        is_after: what was to be done there is done.
    """

    place: str
    number: int
    is_after: bool

    def at(self, place: str, *, is_after: bool) -> None:
        """Cuts the power, if this is the place."""
        if place == self.place and is_after == self.is_after:
            self.number -= 1
            if self.number < 0:
                raise PowerCut


class CutStore(RolloutStore):
    """Keeps what it is given, unless the power is cut."""

    def __init__(self, database: Database, world: "World") -> None:
        super().__init__(database)
        self._world = world

    async def put(self, entry: RolloutEntry) -> None:
        self._world.come_to("store", is_after=False)
        await super().put(entry)
        self._world.come_to("store", is_after=True)

    async def newest(self) -> RolloutEntry | None:
        found = await super().newest()
        await self._world.may_know.wait()
        return found


class FullSlots(Slots):
    """Slots on a disk that is full when it says so."""

    is_full = False

    def switch(self, rollout: str = "", state: SlotState = SlotState.CURRENT) -> Path:
        if self.is_full:
            raise NotPossibleNow(Reason.DISK_FULL, "The disk is full.")
        return super().switch(rollout, state)


class FollowedChecks(Checks):
    """Checks after which something happens."""

    then: Callable[[], Awaitable[None]] | None = None

    async def of(self, folder: Path, trial: ReadTrial, shadowing: Callable[[Checked], Awaitable[None]]) -> Checked:
        checked = await super().of(folder, trial, shadowing)
        if self.then is not None:
            await self.then()
        return checked


@dataclass
class World:
    """What outlives the agent: its disk, the hub, how versions are, and time."""

    folder: Path
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    trouble: SeawallError | None = None
    both_fit: bool = True
    seconds: float = 0.0
    brought: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    devices: list["Device"] = field(default_factory=list)
    cut: Cut | None = None
    may_know: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, the store does not say what is wanted."""

    def __post_init__(self) -> None:
        self.may_know.set()
        version = make_version(CONFIGURED, 1000)
        elsewhere = Slots(self.folder / "elsewhere", spare_bytes=0)
        elsewhere.stage(version.index_json, version.read)
        self.configured = elsewhere.switch()

    def come_to(self, place: str, *, is_after: bool) -> None:
        if self.cut is not None:
            self.cut.at(place, is_after=is_after)

    def load(self, folder: Path) -> VersionEngine:
        self.come_to("load", is_after=False)
        engine = VersionEngine(folder, self.behaviours)
        self.loaded.append(engine.bundle.version)
        self.come_to("load", is_after=True)
        return engine


class Device:
    """The agent, from its start to its end. A new one in the same world is the agent started again."""

    def __init__(self, world: World) -> None:
        self.world = world
        ticks = itertools.count()
        self.database = Database(world.folder / "agent.db")
        self.store, self.live, self.traffic = CutStore(self.database, world), LiveStore(self.database, 3600.0), Traffic()
        self.slots = FullSlots(world.folder / "slots", spare_bytes=0)
        self.models = CurrentModel(world.load, lambda _: world.both_fit)
        self.states: list[str] = []
        self.releases = Releases(self.store, self.states.append)
        self.deployment = Deployment(Places(self.slots, self.models, world.configured, self._bring))
        gate = HealthGate(clock=lambda: float(next(ticks)), resident=lambda: 0, temperature=lambda: None)
        self.checks = FollowedChecks(self.models, gate, self.traffic, random.Random(1), lambda: world.seconds)
        self.worker = RolloutWorker(
            self.releases, self.deployment, self.checks, self.traffic, self.live, random.Random(1), QUICK, lambda: world.seconds
        )
        self._running: asyncio.Task[None] | None = None
        world.devices.append(self)

    async def _bring(self, started: Started, model: str, version: str, tell: Callable[[Progress], None]) -> tuple[Index, bool]:
        made = make_version(int(version), 1000)
        tell(Progress(1, 2, 1, 1.0))
        if self.world.trouble is not None:
            raise self.world.trouble
        if started.index == made.index or (started.index is None and int(version) == CONFIGURED):
            return made.index, False
        self.world.come_to("bring", is_after=False)
        self.slots.stage(made.index_json, made.read)
        self.world.brought.append(version)
        self.world.come_to("bring", is_after=True)
        return made.index, True

    async def start(self) -> "Device":
        await before_start(self.slots, self.store, self.live)
        await open_model(self.models, self.slots, self.world.configured)
        self._running = asyncio.create_task(self.worker.run())
        return self

    async def stop(self) -> None:
        """As a power cut: nothing is finished, but for what a thread has begun. A second time does nothing."""
        if self not in self.world.devices:
            return
        self.world.devices.remove(self)
        if self._running is not None:
            self._running.cancel()
            (end,) = await asyncio.gather(self._running, return_exceptions=True)
            assert isinstance(end, asyncio.CancelledError | PowerCut), end
        self.database.close()

    async def restart(self) -> "Device":
        """As a service manager does it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await stopped_in_order(self.store)
        return await self.again()

    async def until_cut(self) -> bool:
        """Waits until the power is cut, or there is nothing more to be done; says whether it was cut."""
        assert self._running is not None
        while not self._running.done():
            newest = await self.store.newest()
            ends = (State.PROVEN, State.ROLLED_BACK, State.REFUSED)[0 if newest is None else newest.wanted.action - 1 :]
            if [report.state for report in self.releases.reports() if report.state in ends]:  # told when it is on the disk, and not before
                return False
            self.answers(5)
            self.world.seconds += 100
            await asyncio.sleep(0.001)
        return True

    async def again(self) -> "Device":
        await self.stop()
        return await Device(self.world).start()

    async def want(self, rollout: str, version: int, action: DesiredRelease.Action.ValueType = DesiredRelease.TAKE, **trial: float) -> None:
        message = Trial(**{"probation_answers": 4, **trial})  # type: ignore[arg-type]
        if not message.HasField("probation_time"):
            message.probation_time.seconds = 60
        name = f"models/{MODEL}/versions/{version}"
        await self.releases.want(DesiredRelease(rollout=f"rollouts/{rollout}", model_version=name, action=action, trial=message))

    async def report(self, rollout: str) -> ReleaseReport:
        entry = await self.store.get(f"rollouts/{rollout}")
        assert entry is not None
        return entry.report

    async def until(self, rollout: str, *states: State.ValueType) -> ReleaseReport:
        """Waits until the agent says that it has come so far."""
        async with asyncio.timeout(20):
            while (report := await self.report(rollout)).state not in states:
                assert self._running is None or not self._running.done(), self._running
                await asyncio.sleep(0.001)
        return report

    async def until_well_started(self, rollout: str) -> None:
        """Waits until a start is none of those that came to nothing."""

        async def is_well_started() -> bool:
            entry = await self.store.get(f"rollouts/{rollout}")
            return entry is not None and entry.probation is not None and not entry.probation.starts

        await eventually(is_well_started, 20)

    def answers(self, count: int, unsure: int = 0, errors: int = 0) -> None:
        """Has the model that serves answer prompts."""
        digest = self.models.bundle.digest()
        for number in range(count):
            self.traffic.answered(LiveAnswer(digest, number < unsure, (Message("user", "hello"),), Sampling(), ("one ", "two "), 3))
        for _ in range(errors):
            self.traffic.broke(digest)

    @property
    def serves(self) -> int:
        """The version that answers."""
        assert self.models.away == ""
        return int(self.models.bundle.version)


async def prove(device: Device, rollout: str, version: int) -> None:
    """Has a version proven by live answers."""
    await device.want(rollout, version)
    await device.until(rollout, State.ON_PROBATION)
    device.answers(4)
    device.world.seconds += 100
    await device.until(rollout, State.PROVEN)
    assert device.serves == version
