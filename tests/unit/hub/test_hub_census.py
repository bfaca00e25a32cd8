"""The fleet by numbers."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy
from sqlalchemy import Connection

from hub.store import agents, commands
from hub.store.agents import SUSPENDED, AgentRecord
from hub.store.census import AgentCount, take
from hub.store.commands import BEGUN, PENDING, CommandRecord
from hub.store.database import Database
from tests.fakes.rollouts import RolloutStore, rollout

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def record(agent_id: str, *, seen: timedelta | None = None, life: timedelta = timedelta(days=60), **fields: object) -> AgentRecord:
    last_seen = None if seen is None else NOW - seen
    return AgentRecord(agent_id, "0" * 64, b"", NOW, NOW + life, last_seen, **fields)  # type: ignore[arg-type]


async def test_agents_are_counted_by_what_they_have_in_common(database_url: str) -> None:
    database = Database.open(database_url)
    minute, hour, day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

    def fill(connection: Connection) -> None:
        for number in range(3):
            agents.insert(connection, record(f"here-{number}", seen=minute))
        agents.insert(connection, record("lost", seen=2 * hour))
        agents.insert(connection, record("never"))
        agents.insert(connection, record("expired", seen=2 * day, life=-minute))
        agents.insert(connection, record("soon", seen=minute, life=2 * day))
        agents.insert(connection, record("behind", seen=minute, desired_generation=7))
        agents.insert(connection, record("out", seen=minute, state=SUSPENDED))

    await database.write(fill)
    census = await database.read(partial(take, now=NOW))
    database.close()
    assert set(census.agents) == {
        AgentCount("ACTIVE", None, "under_5m", "longer", True, 3),
        AgentCount("ACTIVE", None, "under_1d", "longer", True, 1),
        AgentCount("ACTIVE", None, "longer", "longer", True, 1),
        AgentCount("ACTIVE", None, "longer", "expired", True, 1),
        AgentCount("ACTIVE", None, "under_5m", "under_7d", True, 1),
        AgentCount("ACTIVE", None, "under_5m", "longer", False, 1),
        AgentCount("SUSPENDED", None, "under_5m", "longer", True, 1),
    }


async def test_commands_that_have_not_ended_are_counted(database_url: str) -> None:
    database = Database.open(database_url)

    def fill(connection: Connection) -> None:
        agents.insert(connection, record("a"))
        for number, state in enumerate([PENDING, PENDING, BEGUN, "SUCCEEDED"]):
            commands.insert(connection, CommandRecord(str(number), "a", "RUN_DOCTOR", 0, NOW, NOW, state))

    await database.write(fill)
    census = await database.read(partial(take, now=NOW))
    database.close()
    assert census.commands == {PENDING: 2, BEGUN: 1}


async def test_of_each_model_the_newest_rollout_is_counted_and_its_agents(database_url: str) -> None:
    store = RolloutStore(database_url)
    await store.enroll("a", "b")
    await store.create(rollout())
    await store.report("a", "PROVEN")
    await store.report("b", "PROVEN")
    await store.create(rollout(version="models/x/versions/3"), "july")
    await store.report("a", "REFUSED", "july")
    await store.create(rollout(version="models/y/versions/1"), "other")
    census = await store.database.read(partial(take, now=NOW))
    store.database.close()
    assert census.rollouts == {("ROLLING_BACK", True): 1, ("ACTIVE", False): 1}
    assert census.rollout_agents == {"REFUSED": 1, "": 2}


def agents_of(count: int, connection: Connection) -> None:
    for number in range(count):
        agents.insert(connection, record(f"a-{number}"))


@pytest.mark.parametrize("count", [1, 500])
async def test_however_many_agents_there_are_four_questions_are_asked_and_few_rows_read(database_url: str, count: int) -> None:
    database = Database.open(database_url)
    await database.write(lambda connection: agents_of(count, connection))
    asked: list[str] = []

    def counted(connection: Connection) -> int:
        sqlalchemy.event.listen(connection, "before_cursor_execute", lambda *args: asked.append(args[2]))
        return len(take(connection, NOW).agents)

    assert await database.read(counted) == 1
    database.close()
    assert len(asked) == 4
