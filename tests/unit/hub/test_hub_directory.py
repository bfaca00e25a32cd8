"""The directory: who is let in, and when they were last heard of."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from contract.errors import NotFound, NotPermitted, Reason
from hub.fleet.directory import Directory
from hub.store import agents
from hub.store.agents import AgentRecord
from hub.store.database import Database

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Scene:
    """A directory with one agent in it, and a clock."""

    def __init__(self, database_url: str) -> None:
        self.now = START
        self.database = Database.open(database_url)
        self.directory = Directory(self.database, lambda: self.now)

    async def add(self, agent_id: str = "plant-7") -> None:
        record = AgentRecord(agent_id, "a" * 64, b"", START, START)
        await self.database.write(lambda connection: agents.insert(connection, record))


def everyone(connection: Connection) -> list[AgentRecord]:
    return agents.page(connection, "", 100)


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    result = Scene(database_url)
    await result.add()
    yield result
    result.database.close()


async def test_an_agent_with_its_own_key_is_let_in_and_noted(scene: Scene) -> None:
    await scene.directory.admit("plant-7", "a" * 64)
    assert (await scene.directory.get("plant-7")).last_seen_time == START


async def test_when_agents_called_is_written_for_all_at_once(scene: Scene) -> None:
    await scene.add("plant-8")
    for agent_id in ("plant-7", "plant-8"):
        await scene.directory.admit(agent_id, "a" * 64)
    assert [record.last_seen_time for record in await scene.database.read(everyone)] == [None, None]
    await scene.directory.flush()
    assert [record.last_seen_time for record in await scene.database.read(everyone)] == [START, START]


@pytest.mark.parametrize(("state", "reason"), [("SUSPENDED", Reason.AGENT_SUSPENDED), ("RETIRED", Reason.AGENT_RETIRED)])
async def test_an_agent_that_was_shut_out_is_told_so(scene: Scene, state: str, reason: Reason) -> None:
    await scene.database.write(lambda connection: agents.change(connection, "plant-7", state=state))
    with pytest.raises(NotPermitted) as raised:
        await scene.directory.admit("plant-7", "a" * 64)
    assert raised.value.reason is reason


async def test_the_old_key_is_good_until_the_new_one_is_used(scene: Scene) -> None:
    await scene.database.write(lambda connection: agents.change(connection, "plant-7", key_hash="b" * 64, previous_key_hash="a" * 64))
    await scene.directory.admit("plant-7", "a" * 64)
    await scene.directory.admit("plant-7", "b" * 64)
    with pytest.raises(NotPermitted):
        await scene.directory.admit("plant-7", "a" * 64)


async def test_a_page_is_filled_with_the_chosen_alone(scene: Scene) -> None:
    for agent_id in ("a", "b", "c"):
        await scene.add(agent_id)
    found = await scene.directory.page("", 2, lambda record: record.agent_id != "b")
    assert [record.agent_id for record in found] == ["a", "c"]


@pytest.mark.parametrize(("agent_id", "key_hash"), [("plant-8", "a" * 64), ("plant-7", "b" * 64)])
async def test_a_removed_agent_and_an_old_key_are_kept_out(scene: Scene, agent_id: str, key_hash: str) -> None:
    with pytest.raises(NotPermitted) as raised:
        await scene.directory.admit(agent_id, key_hash)
    assert raised.value.reason is Reason.AGENT_NOT_FOUND
    assert (await scene.directory.get("plant-7")).last_seen_time is None


async def test_who_is_not_there_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound) as raised:
        await scene.directory.get("plant-8")
    assert raised.value.reason is Reason.AGENT_NOT_FOUND


async def test_pages_follow_each_other_in_the_order_of_ids(scene: Scene) -> None:
    for agent_id in ("b", "a", "c"):
        await scene.add(agent_id)
    first = await scene.directory.page("", 3)
    assert [record.agent_id for record in first] == ["a", "b", "c"]
    assert [record.agent_id for record in await scene.directory.page("c", 3)] == ["plant-7"]
