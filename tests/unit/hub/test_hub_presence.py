"""Presence: who holds whose session is in the store, and a process that is gone holds none."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest

from contract.errors import Reason, SeawallError, Unavailable
from hub.fleet.delivery import Delivery
from hub.fleet.events import Journal
from hub.fleet.presence import DEAD_SECONDS, LOST_SECONDS, Presence
from hub.fleet.reports import Reports
from hub.fleet.sessions import Sessions
from hub.store import agents, engines
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.engines import for_writing
from seawall.hub.v1 import session_pb2
from tests.fakes.postgres import Postgres

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = "a" * 64


class Process:
    """What of a hub's process is about presence, on a clock that a test moves."""

    def __init__(self, url: str, replica_id: str) -> None:
        self.seconds = 0.0
        self.database = Database.open(url)
        self.journal = Journal(self.database, lambda: NOW)
        self.sessions = Sessions(limit=10)
        self.delivery = Delivery(self.database, self.sessions, replica_id, lambda: NOW)
        self.reports = Reports(self.journal, replica_id, lambda: NOW)
        self.presence = Presence(
            self.database, self.journal, self.sessions, self.delivery, replica_id, lambda: NOW, monotonic=lambda: self.seconds
        )
        self.tasks = [asyncio.create_task(self.delivery.run())]

    async def enroll(self, agent_id: str) -> None:
        record = AgentRecord(agent_id, KEY, b"", NOW, NOW)
        await self.database.write(lambda connection: agents.insert(connection, record))

    async def connect(self, agent_id: str) -> "asyncio.Task[None]":
        opened = asyncio.Event()
        task = asyncio.create_task(self._hold(agent_id, opened))
        self.tasks.append(task)
        await opened.wait()
        return task

    async def _hold(self, agent_id: str, opened: asyncio.Event) -> None:
        with self.sessions.open(agent_id, _write, 0) as session:
            try:
                await self.reports.greeted(agent_id, KEY, session_pb2.Hello())
                self.presence.connected(agent_id)
                session.ready = True
                opened.set()
                await asyncio.Event().wait()
            finally:
                self.presence.left(agent_id)

    async def holders(self) -> dict[str, str | None]:
        found = await self.database.read(partial(agents.page, after="", size=100))
        return {record.agent_id: record.replica_id for record in found}

    async def happened(self) -> list[str]:
        return [f"{event.subject} {event.type}" for event in await self.journal.page(0, 100)]

    async def die(self) -> None:
        """As a SIGKILL would have it: nothing is written any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.database.close()


async def _write(message: session_pb2.ConnectResponse) -> None:
    """Sends nothing."""


@pytest.fixture
async def pair(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Process, Process]]:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 1)  # a writer that holds the others up for good is waited for
    url = postgres.create_database()
    one, other = Process(url, "1" * 32), Process(url, "2" * 32)
    await one.presence.start()
    await other.presence.start()
    yield one, other
    await other.die()
    await one.die()


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def why_ended(task: "asyncio.Task[None]") -> Reason:
    with pytest.raises(SeawallError) as raised:
        async with asyncio.timeout(20):
            await task
    return raised.value.reason


async def test_who_comes_and_goes_is_kept_with_its_events(database_url: str) -> None:
    one = Process(database_url, "1" * 32)
    await one.presence.start()
    await one.enroll("a")
    task = await one.connect("a")
    assert await one.holders() == {"a": "1" * 32}
    await end(task)
    await one.presence.flush()
    assert await one.holders() == {"a": None}
    assert await one.happened() == ["agents/a AGENT_CONNECTED", "agents/a AGENT_DISCONNECTED"]
    await one.die()


async def test_an_agent_that_is_back_before_it_was_missed_stays_connected(database_url: str) -> None:
    one = Process(database_url, "1" * 32)
    await one.presence.start()
    await one.enroll("a")
    await end(await one.connect("a"))
    await one.connect("a")
    await one.presence.flush()
    assert await one.holders() == {"a": "1" * 32}
    assert await one.happened() == [f"agents/a AGENT_{what}" for what in ("CONNECTED", "DISCONNECTED", "CONNECTED")]
    await one.die()


async def test_a_hub_that_starts_again_on_sqlite_finds_nobody_connected(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    first = Process(url, "1" * 32)
    await first.presence.start()
    await first.enroll("a")
    await first.connect("a")
    await first.presence.flush()
    await first.die()
    second = Process(url, "2" * 32)
    await second.presence.start()
    assert await second.holders() == {"a": None}
    assert await second.happened() == ["agents/a AGENT_CONNECTED", "agents/a AGENT_DISCONNECTED"]
    await second.die()


async def test_a_process_that_is_silent_for_long_is_given_up_with_its_sessions(pair: tuple[Process, Process]) -> None:
    one, other = pair
    for agent_id in ("a", "b"):
        await other.enroll(agent_id)
    await one.connect("a")
    await other.connect("b")
    for seconds in (0, DEAD_SECONDS):
        one.seconds = seconds
        await one.presence.beat()
        await other.presence.beat()
    assert await one.holders() == {"a": "1" * 32, "b": "2" * 32}
    for seconds in (DEAD_SECONDS + 1, 2 * DEAD_SECONDS + 2):
        one.seconds = seconds
        await one.presence.beat()
    assert await one.holders() == {"a": "1" * 32, "b": None}
    assert await one.happened() == ["agents/b AGENT_DISCONNECTED"]


async def test_a_process_that_was_given_up_but_is_there_ends_its_sessions_and_goes_on(pair: tuple[Process, Process]) -> None:
    one, other = pair
    await one.enroll("a")
    task = await other.connect("a")
    for seconds in (0, DEAD_SECONDS + 1):
        one.seconds = seconds
        await one.presence.beat()
    assert await one.holders() == {"a": None}
    await other.presence.beat()
    assert await why_ended(task) is Reason.HUB_UNAVAILABLE
    await other.connect("a")
    await other.presence.beat()
    await one.presence.beat()
    assert await one.holders() == {"a": "2" * 32}


async def test_who_has_moved_is_not_taken_away_by_the_process_that_it_left(pair: tuple[Process, Process]) -> None:
    one, other = pair
    await one.enroll("a")
    task = await one.connect("a")
    await other.connect("a")
    one.delivery.mark(["a"])
    assert await why_ended(task) is Reason.SESSION_REPLACED
    await one.presence.flush()
    await other.presence.flush()
    assert await one.holders() == {"a": "2" * 32}
    assert await one.happened() == ["agents/a AGENT_CONNECTED"] * 2


async def test_a_process_that_stops_leaves_nobody_connected(pair: tuple[Process, Process]) -> None:
    one, other = pair
    await one.enroll("a")
    await end(await other.connect("a"))
    await other.presence.stop()
    assert await one.holders() == {"a": None}
    assert await one.happened() == ["agents/a AGENT_CONNECTED", "agents/a AGENT_DISCONNECTED"]


async def test_a_process_that_has_lost_a_shared_store_for_long_ends_its_sessions(pair: tuple[Process, Process]) -> None:
    one, other = pair
    await one.enroll("a")
    task = await one.connect("a")
    with for_writing(other.database._engine).begin():
        for seconds in (LOST_SECONDS, LOST_SECONDS + 1):
            assert not task.done()
            one.seconds = seconds
            with pytest.raises(Unavailable):
                await one.presence.beat()
    assert await why_ended(task) is Reason.HUB_UNAVAILABLE


async def test_what_could_not_be_kept_is_kept_the_next_time(pair: tuple[Process, Process]) -> None:
    one, other = pair
    await one.enroll("a")
    await end(await one.connect("a"))
    with for_writing(other.database._engine).begin(), pytest.raises(Unavailable):
        await one.presence.flush()
    await one.presence.flush()
    assert await one.holders() == {"a": None}
