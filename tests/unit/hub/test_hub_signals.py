"""Signals: heard when what they are a part of is kept, and not at all when it is not."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import Connection

from hub.store import signals
from hub.store.database import Database
from hub.store.engines import connection_arguments, create_engine
from hub.store.signals import EVERYTHING, Changes, Topic, payloads, read_payload, signal
from tests.fakes.fleet_agent import eventually
from tests.fakes.postgres import Postgres


class Listener:
    """A database, and what is heard of it."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self.heard: list[Changes] = []
        self.task = asyncio.create_task(self.database.listen(self.heard.append))

    async def listens(self) -> None:
        await eventually(lambda: EVERYTHING in self.heard)
        self.heard.clear()

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.database.close()


@pytest.fixture
async def listener(database_url: str) -> AsyncIterator[Listener]:
    result = Listener(database_url)
    await result.listens()
    yield result
    await result.close()


def says(*agent_ids: str) -> Callable[[Connection], None]:
    return lambda connection: signal(connection, Topic.AGENTS, agent_ids)


async def test_what_is_said_in_a_write_is_heard_once_it_is_kept(listener: Listener) -> None:
    await listener.database.write(says("a", "b"))
    await eventually(lambda: listener.heard == [{Topic.AGENTS: frozenset({"a", "b"})}])


async def test_what_is_said_in_work_that_fails_is_not_heard(listener: Listener) -> None:
    def fail(connection: Connection) -> None:
        signal(connection, Topic.AGENTS, ["lost"])
        raise LookupError

    outcomes = await asyncio.gather(*map(listener.database.write, (says("a"), fail, says("b"))), return_exceptions=True)
    assert isinstance(outcomes[1], LookupError)
    await listener.database.write(says("last"))
    await eventually(lambda: {Topic.AGENTS: frozenset({"last"})} in listener.heard)
    said = frozenset[str]().union(*(changes[Topic.AGENTS] or () for changes in listener.heard))
    assert said == {"a", "b", "last"}


async def test_what_is_said_in_one_process_is_heard_in_the_other(postgres: Postgres) -> None:
    url = postgres.create_database()
    one, other = Listener(url), Listener(url)
    await one.listens()
    await other.listens()
    await one.database.write(says("a"))
    for listener in (one, other):
        await eventually(lambda listener=listener: listener.heard == [{Topic.AGENTS: frozenset({"a"})}])  # type: ignore[misc]
        await listener.close()


async def test_after_a_connection_that_broke_anything_may_have_changed(postgres: Postgres) -> None:
    url = postgres.create_database()
    listener = Listener(url)
    await listener.listens()
    postgres.hang_up(url)
    await listener.listens()
    await listener.close()


def test_a_database_that_is_away_is_asked_again_until_it_is_there() -> None:
    async def run() -> None:
        arguments = connection_arguments(create_engine("postgresql://u@127.0.0.1:1/x"))
        async with asyncio.timeout(1.0):
            await signals.listen(arguments, lambda _: None, random.Random(1))

    with pytest.raises(TimeoutError):
        asyncio.run(run())


@pytest.mark.parametrize("count", [0, 1, 100, 1000])
def test_payloads_are_never_too_long_and_say_it_all(count: int) -> None:
    changes: Changes = {Topic.EVENTS: frozenset(), Topic.AGENTS: frozenset(f"{'a' * 50}-{number}" for number in range(count))}
    texts = payloads(changes)
    assert all(len(text.encode()) < 8000 for text in texts)
    heard = [read_payload(text) for text in texts]
    assert {Topic.EVENTS: frozenset()} in heard
    assert frozenset[str]().union(*(one.get(Topic.AGENTS) or () for one in heard)) == changes[Topic.AGENTS]


def test_what_would_take_very_many_payloads_is_said_as_any() -> None:
    assert payloads({Topic.AGENTS: frozenset(f"{'a' * 50}-{number}" for number in range(5000))}) == [json.dumps(["agents", None])]


@pytest.mark.parametrize("text", ["", "{}", "[]", '["agents"]', '["weather", []]', '["agents", 3]', "null"])
def test_a_payload_that_is_none_of_ours_may_mean_anything(text: str) -> None:
    assert read_payload(text) == EVERYTHING
