"""Delivery: what is due reaches each agent once a session, and a slow one holds nobody up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, text, update
from structlog.testing import capture_logs

from hub.fleet.delivery import Delivery
from hub.fleet.sessions import Session, Sessions, Write
from hub.fleet.upkeep import forever
from hub.store import agents, commands, tables
from hub.store.agents import AgentRecord
from hub.store.commands import CommandRecord
from hub.store.database import Database
from seawall.hub.v1 import session_pb2

T = TypeVar("T")

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REPLICA = "a" * 32


class Agent:
    """The far end of a session, that takes messages when it is let."""

    def __init__(self, *, slow: bool = False) -> None:
        self.got: asyncio.Queue[session_pb2.ConnectResponse] = asyncio.Queue()
        self.let = asyncio.Event()
        if not slow:
            self.let.set()

    async def write(self, message: session_pb2.ConnectResponse) -> None:
        await self.let.wait()
        self.got.put_nowait(message)

    async def next_command(self) -> str:
        async with asyncio.timeout(20):
            return (await self.got.get()).command.name.rpartition("/")[2]


class LateDatabase(Database):
    """What is read comes when it is let."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.has_read = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()

    async def read(self, work: Callable[[Connection], T]) -> T:
        result = await super().read(work)
        self.has_read.set()
        await self.let.wait()
        return result


class Scene:
    """A store, the sessions, and the delivery that runs."""

    def __init__(self, database_url: str) -> None:
        self.database = LateDatabase.open(database_url)
        self.sessions = Sessions(limit=10)
        self.delivery = Delivery(self.database, self.sessions, REPLICA, lambda: NOW)
        self.tasks = [asyncio.create_task(forever(self.delivery.run))]

    async def enroll(self, agent_id: str, replica_id: str | None) -> None:
        record = AgentRecord(agent_id, "a" * 64, b"", NOW, NOW, replica_id=replica_id)
        await self.database.write(lambda connection: agents.insert(connection, record))

    async def open(self, agent_id: str, write: Write) -> Session:
        """Holds a session that is not welcomed yet."""
        opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            with self.sessions.open(agent_id, write, 0) as session:
                opened.set_result(session)
                await asyncio.Event().wait()

        self.tasks.append(asyncio.create_task(hold()))
        return await opened

    async def connect(self, agent_id: str, write: Write) -> None:
        await self.enroll(agent_id, REPLICA)
        (await self.open(agent_id, write)).ready = True

    async def command(self, agent_id: str, command_id: str, expires: timedelta = timedelta(hours=1)) -> None:
        def work(connection: Connection) -> None:
            commands.insert(connection, CommandRecord(command_id, agent_id, "RESTART", 0, NOW, NOW + expires))

        await self.database.write(work)
        self.delivery.mark([agent_id])


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    result = Scene(database_url)
    yield result
    for task in result.tasks:
        task.cancel()
    await asyncio.gather(*result.tasks, return_exceptions=True)
    result.database.close()


async def test_commands_come_in_order_and_each_once(scene: Scene) -> None:
    agent = Agent()
    await scene.connect("a", agent.write)
    for command_id in ("1", "2", "3"):
        await scene.command("a", command_id)
    assert [await agent.next_command() for _ in range(3)] == ["1", "2", "3"]
    assert agent.got.empty()


async def test_what_nobody_said_is_brought_with_the_next_look(scene: Scene) -> None:
    agent = Agent()
    await scene.connect("a", agent.write)
    record = CommandRecord("silent", "a", "RESTART", 0, NOW, NOW + timedelta(hours=1))
    await scene.database.write(lambda connection: commands.insert(connection, record))
    await scene.delivery.look()
    assert await agent.next_command() == "silent"


async def test_what_is_overdue_is_not_sent(scene: Scene) -> None:
    agent = Agent()
    await scene.connect("a", agent.write)
    await scene.command("a", "late", timedelta(0))
    await scene.command("a", "good")
    assert await agent.next_command() == "good"


async def test_a_slow_agent_holds_nobody_up_and_gets_all_in_the_end(scene: Scene) -> None:
    slow, quick = Agent(slow=True), Agent()
    await scene.connect("slow", slow.write)
    await scene.connect("quick", quick.write)
    for number in range(3):
        await scene.command("slow", f"s{number}")
        await scene.command("quick", f"q{number}")
        assert await quick.next_command() == f"q{number}"
    slow.let.set()
    assert [await slow.next_command() for _ in range(3)] == ["s0", "s1", "s2"]


async def test_a_stream_that_breaks_while_it_is_sent_to_breaks_nothing_else(scene: Scene) -> None:
    async def broken(_message: session_pb2.ConnectResponse) -> None:
        raise ConnectionError

    quick = Agent()
    await scene.connect("broken", broken)
    await scene.connect("quick", quick.write)
    await scene.command("broken", "lost")
    await scene.command("quick", "good")
    assert await quick.next_command() == "good"


async def test_a_session_is_not_judged_by_what_was_read_before_it_was_welcomed(scene: Scene) -> None:
    agent = Agent()
    await scene.enroll("a", None)
    session = await scene.open("a", agent.write)
    scene.database.let.clear()
    scene.delivery.mark(["a"])
    await scene.database.has_read.wait()
    await scene.database.write(lambda connection: agents.change(connection, "a", replica_id=REPLICA))
    session.ready = True
    scene.database.let.set()
    await scene.command("a", "good")
    assert await agent.next_command() == "good"
    assert session.ended_by is None


async def test_a_session_is_not_judged_by_what_was_read_for_the_one_before_it(scene: Scene) -> None:
    agent = Agent()
    await scene.connect("a", Agent().write)
    await scene.database.write(lambda connection: agents.change(connection, "a", replica_id=None))
    scene.database.let.clear()
    scene.delivery.mark(["a"])
    await scene.database.has_read.wait()
    session = await scene.open("a", agent.write)
    await scene.database.write(lambda connection: agents.change(connection, "a", replica_id=REPLICA))
    session.ready = True
    scene.database.let.set()
    await scene.command("a", "good")
    assert await agent.next_command() == "good"
    assert session.ended_by is None


async def test_what_cannot_be_looked_up_stays_due(scene: Scene) -> None:
    agent = Agent()
    await scene.connect("a", agent.write)
    await scene.database.write(lambda connection: connection.execute(text("ALTER TABLE commands RENAME COLUMN action TO deed")))
    with capture_logs() as logs:
        scene.delivery.mark(["a"])
        async with asyncio.timeout(20):
            while not logs:  # noqa: ASYNC110  # nobody tells of a log line
                await asyncio.sleep(0.01)
    await scene.database.write(lambda connection: connection.execute(text("ALTER TABLE commands RENAME COLUMN deed TO action")))
    await scene.database.write(
        lambda connection: commands.insert(connection, CommandRecord("late", "a", "RESTART", 0, NOW, NOW + timedelta(hours=1)))
    )
    assert await agent.next_command() == "late"


async def test_an_agent_whose_row_cannot_be_read_holds_nobody_up_and_stays_due(scene: Scene) -> None:
    broken, good = Agent(), Agent()
    await scene.connect("broken", broken.write)
    await scene.connect("good", good.write)
    row = update(tables.agents).where(tables.agents.c.agent_id == "broken")
    await scene.database.write(lambda connection: connection.execute(row.values(configuration=b"\xff", desired_generation=1)))
    for agent_id in ("broken", "good"):
        await scene.database.write(
            lambda connection, agent_id=agent_id: commands.insert(  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                connection, CommandRecord(agent_id, agent_id, "RESTART", 0, NOW, NOW + timedelta(hours=1))
            )
        )
    scene.delivery.mark(["broken", "good"])
    assert await good.next_command() == "good"
    await scene.database.write(lambda connection: connection.execute(row.values(configuration=b"")))
    async with asyncio.timeout(20):
        assert (await broken.got.get()).desired_state.generation == 1
    assert await broken.next_command() == "broken"
