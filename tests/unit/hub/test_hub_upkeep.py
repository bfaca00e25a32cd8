"""What the hub does by itself: it goes on whatever breaks, and what is kept too long is forgotten."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contract.errors import Busy, Forgotten, Reason, Superseded, Unavailable
from hub.fleet.commands import Commands
from hub.fleet.events import Journal
from hub.fleet.sessions import Sessions
from hub.fleet.upkeep import every, forever
from hub.store import agents, commands
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.events import NewEvent
from seawall.hub.v1 import session_pb2

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def test_work_goes_on_after_the_store_was_away() -> None:
    done = asyncio.Event()
    outcomes = iter([Unavailable(Reason.HUB_UNAVAILABLE, "Away."), None])

    async def work() -> None:
        if (error := next(outcomes)) is not None:
            raise error
        done.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(every(0, work))
    async with asyncio.timeout(20):
        await done.wait()
    task.cancel()


async def test_work_that_breaks_begins_anew() -> None:
    begun = 0
    again = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise LookupError
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(forever(work))
    async with asyncio.timeout(20):
        await again.wait()
    task.cancel()


async def happen(journal: Journal, event: NewEvent) -> None:
    await journal.write(lambda _: (None, [event]))


async def test_old_events_are_forgotten_but_the_count_goes_on(database_url: str) -> None:
    now = [START]
    database = Database.open(database_url)
    journal = Journal(database, lambda: now[0])
    for number in range(3):
        await happen(journal, NewEvent(START, "AGENT_ENROLLED", f"agents/a{number}"))
    now[0] += timedelta(days=31)
    await journal.forget(timedelta(days=30))
    assert [event.sequence for event in await journal.page(0, 10)] == [3]
    with pytest.raises(Forgotten):
        await anext(journal.watch(1))
    assert await anext(journal.watch(2)) == (None, 2)
    await happen(journal, NewEvent(START, "AGENT_ENROLLED", "agents/a9"))
    assert [event.sequence for event in await journal.page(0, 10)] == [3, 4]
    database.close()


async def test_commands_that_ended_long_ago_are_forgotten_and_those_that_have_not_are_kept(database_url: str) -> None:
    now = [START]
    database = Database.open(database_url)
    known = Commands(database, Journal(database, lambda: now[0]), lambda: now[0])
    await database.write(lambda connection: agents.insert(connection, AgentRecord("a", "a" * 64, b"", START, START)))
    cancelled, begun = (str(uuid4()) for _ in range(2))
    for command_id in (cancelled, begun):
        await known.create("a", "RESTART", command_id, "me", log_lines=0, ttl=timedelta(days=1))
    await known.cancel("a", cancelled, "me")
    await database.write(lambda connection: commands.change(connection, "a", begun, state=commands.BEGUN, begin_time=START))
    now[0] += timedelta(days=29)
    await known.forget(timedelta(days=30))
    assert len(await known.page("a", None, 10)) == 2
    now[0] += timedelta(days=2)
    await known.forget(timedelta(days=30))
    assert [record.command_id for record in await known.page("a", None, 10)] == [begun]
    database.close()


async def _write(message: session_pb2.ConnectResponse) -> None:
    """Sends nothing."""


async def test_a_hub_holds_no_more_sessions_than_it_may_but_an_agent_may_replace_its_own() -> None:
    sessions = Sessions(limit=1)
    opened = asyncio.Event()

    async def hold() -> None:
        with sessions.open("a", _write, 0):
            opened.set()
            await asyncio.Event().wait()

    first = asyncio.create_task(hold())
    await opened.wait()
    with pytest.raises(Busy) as raised, sessions.open("b", _write, 0):
        pass
    assert raised.value.reason is Reason.HUB_BUSY
    with sessions.open("a", _write, 0), pytest.raises(Superseded):
        await first
    assert len(sessions) == 0


async def test_a_cancelled_session_stays_cancelled() -> None:
    sessions = Sessions(limit=1)

    async def hold() -> None:
        with sessions.open("a", _write, 0):
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(sessions) == 0
