"""A fleet that learns: agents with stores of their own behind a fake grid, and the hub's rounds over a database."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from shutil import copyfile
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from agent.learning.ledger import LedgerStore
from agent.learning.participation import Device, Participation, Site
from agent.learning.reporting import Reporting
from agent.store.audit import ReceiptStore
from agent.store.database import Database as AgentDatabase
from agent.store.live import LiveStore
from agent.store.sketches import SketchStore
from agent.store.subjects import Subject as Asker
from contract.drift import Sketch
from contract.identity import key_hash
from contract.learning import span, windows_over
from contract.learning_limits import LearningLimits
from contract.receipts import Receipt
from contract.secagg.roster import Roster
from contract.subjects import EMBEDDER, USAGE, Confidence, Similarity, Subject
from contract.tree_heads import public_der
from hub.config import LearningSettings
from hub.fleet.events import Journal
from hub.learning.conductor import Conductor, Gather, Means
from hub.learning.planning import Wanted
from hub.learning.rounds import By, Here, Rounds
from hub.store import agents, replicas
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.learning import RoundRecord
from seawall.hub.v1 import agent_pb2
from tests.fakes.answerer import receipt
from tests.fakes.grid import Dice, FakeGrid, all_well
from tests.fakes.secagg_cohort import member_key

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WINDOW = windows_over(NOW)[0]
IN_WINDOW = (NOW - timedelta(days=7)).timestamp()
IN_MEMORY = Path("/dev/shm")
DATA_KEY = bytes(32)
BY = By("spiffe://seawall.test/operators/ann", "11111111-1111-4111-8111-111111111111")
MODEL = receipt("p").model_digest
OPEN = LearningLimits(True, smallest_cohort=4, exact_cohort=4)
"""Limits that let much be learnt."""


class FakeAgent:
    """A device: a store with receipts in it, and what answers rounds from it."""

    def __init__(self, agent_id: str, path: Path, roster: Callable[[], Roster], limits: LearningLimits, random: Random) -> None:
        self.agent_id = agent_id
        self.limits = limits
        self.now = NOW
        self.random = random
        self.database = AgentDatabase(path, DATA_KEY)
        self.ledger = LedgerStore(self.database)
        self.confidence = Confidence(MODEL)
        self.similarity = Similarity(EMBEDDER)
        self.reporting = Reporting(self.database, lambda _: True, random)
        self.roster = roster
        self.participation = self.started()

    def started(self) -> Participation:
        """What answers rounds after a start of the device: it remembers no round."""
        site = Site(
            limits=lambda: self.limits,
            device=lambda: Device(self.agent_id, member_key(self.agent_id)),
            roster=self._roster,
            ledger=self.ledger,
            reporting=self.reporting,
            judged=lambda: (self.confidence, self.similarity),
            clock=lambda: self.now,
            randomness=self.random.randbytes,
            bits=self.random.getrandbits,
        )
        self.participation = Participation(site)
        return self.participation

    async def answer(self, content: bytes) -> bytes:
        return await self.participation.answer(content)

    async def use(self, answers: int, **values: object) -> None:
        """Answers so many prompts within the window."""
        store = ReceiptStore(self.database, age_seconds=1e9)
        for number in range(answers):
            given = replace(receipt(f"p{number}"), receipt_id=f"{self.agent_id}-{number}", **values)  # type: ignore[arg-type]
            await store.append("c", given, IN_WINDOW, may_learn=True)

    async def ask(self, sketches: Sequence[Sketch], week: str) -> None:
        """Answers a prompt of each sketch within a week."""
        receipts, kept, time = ReceiptStore(self.database, age_seconds=1e9), SketchStore(self.database), span(week)[0].timestamp()
        for number, sketched in enumerate(sketches):
            given = replace(receipt(f"p{number}"), receipt_id=f"{self.agent_id}-{week}-{number}")
            await receipts.append("c", given, time, may_learn=True)
            await kept.put(given.receipt_id, sketched, Asker("c"), time, time)

    async def judge(self, judged: Iterable[tuple[float, bool]], **values: object) -> None:
        """Answers prompts of such confidence within the window, each of which is called good or bad."""
        for number, (figure, is_good) in enumerate(judged):
            given = replace(receipt(f"{self.agent_id}-judged-{number}"), confidence=figure, **values)  # type: ignore[arg-type]
            await self._judged(given, is_good)

    async def recall(self, judged: Iterable[tuple[float, bool]]) -> None:
        """Answers prompts from the cache within the window, each so similar to another one, which are called good or bad."""
        for number, (figure, is_good) in enumerate(judged):
            given = replace(receipt(f"{self.agent_id}-recalled-{number}"), route="cache", reasons=("similar",), confidence=None)
            await self._judged(given, is_good, figure)

    async def _judged(self, given: Receipt, is_good: bool, similarity: float | None = None) -> None:
        given = replace(given, receipt_id=given.prompt_id)
        await ReceiptStore(self.database, age_seconds=1e9).append("c", given, IN_WINDOW, may_learn=True)
        if similarity is not None:
            await SketchStore(self.database).put(given.receipt_id, (0, 0, 0, 0), Asker("c"), IN_WINDOW, IN_WINDOW, similarity)
        await LiveStore(self.database, 1e9).give_feedback("c", given.prompt_id, is_good, IN_WINDOW)

    def counts(self, subject: Subject = USAGE) -> list[int]:
        """What it has kept of what it contributed."""
        found = next((one.counts for one in self.ledger.contributions() if one.window == subject.window(WINDOW)), None) or {}
        return [found.get(cell, 0) for cell in subject.named([0] * subject.entries)]

    async def _roster(self) -> Roster:
        return self.roster()


@dataclass
class LearningFleet:
    """Agents, the grid to them, and the hub's rounds."""

    devices: Mapping[str, FakeAgent]
    roster: Roster
    grid: FakeGrid
    database: Database
    settings: LearningSettings
    now: datetime = NOW
    random: Random = field(default_factory=lambda: Random(1))

    def process(
        self, replica_id: str = "r1", gather: Gather | None = None, holds_role: Callable[[], bool] = lambda: True
    ) -> tuple[Rounds, Conductor]:
        """What one process of the hub asks for rounds with, and conducts them with."""
        journal = Journal(self.database, lambda: self.now)
        here = Here(replica_id, lambda: self.now, self.random.randbytes, self.random)
        rounds = Rounds(self.database, journal, self._newest_roster, self.settings, here, is_on=True)
        means = Means(gather or self.grid.gather, self._newest_roster, holds_role)
        return rounds, Conductor(self.database, journal, rounds, means, self.settings, here)

    async def play(self, wanted: Wanted, by: By = BY) -> RoundRecord:
        """Asks for a round, conducts it, and returns what became of it."""
        rounds, conductor = self.process()
        made = await rounds.create(wanted, by)
        await conductor.conduct_pending()
        return await rounds.get(made.round_id)

    async def begin(self, replica_id: str = "r1") -> None:
        """Says that a process of the hub is there."""
        await self.database.write(lambda connection: replicas.insert(connection, replica_id, self.now))

    async def enroll(self, models: Callable[[int], str] = lambda _: "models/a/versions/1", labels: Callable[[int], str] = str) -> None:
        """Has the hub know all agents, each with a model and a label `region`."""
        records = [
            AgentRecord(
                agent_id=agent_id,
                key_hash="",
                member_key_hash=self.roster.members[agent_id],
                certificate=b"",
                create_time=self.now,
                certificate_expire_time=self.now + timedelta(days=30),
                last_seen_time=self.now,
                replica_id="r1",
                labels={"region": labels(number)},
                report=agent_pb2.AgentReport(
                    model=models(number), model_digest=self.devices[agent_id].confidence.model
                ).SerializeToString(),
            )
            for number, agent_id in enumerate(self.devices)
        ]

        def work(connection: Connection) -> None:
            for record in records:
                agents.insert(connection, record)

        await self.database.write(work)

    def sum_of(self, agent_ids: Iterator[str], subject: Subject = USAGE) -> tuple[int, ...]:
        return tuple(sum(column) for column in zip(*(self.devices[agent_id].counts(subject) for agent_id in agent_ids), strict=True))

    async def _newest_roster(self) -> Roster:
        return self.roster


@contextmanager
def learning_fleet(
    size: int, limits: LearningLimits = OPEN, roll: Dice = all_well, settings: LearningSettings | None = None
) -> Iterator[LearningFleet]:
    """Makes a fleet of so many, with random streams of their own; ends it. Its stores are in memory: nothing here is about disks."""
    names = [f"agent-{number:03}" for number in range(size)]
    roster = Roster(1, {name: key_hash(public_der(member_key(name))) for name in names})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)))
        template = folder / "template.db"
        AgentDatabase(template, DATA_KEY).close()
        devices = {}
        for number, name in enumerate(names):
            copyfile(template, folder / f"{name}.db")
            devices[name] = FakeAgent(name, folder / f"{name}.db", lambda: roster, limits, Random(number))
            stack.callback(devices[name].database.close)
        grid = FakeGrid({name: device.answer for name, device in devices.items()}, roll)
        database = Database.open(f"sqlite:///{folder / 'hub.db'}")
        stack.callback(database.close)
        yield LearningFleet(devices, roster, grid, database, settings or LearningSettings(smallest_cohort=4, cohort=8))
