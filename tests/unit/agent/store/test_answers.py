"""The table of answers: how long they are kept, and which go first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store.answers import AnswerStore
from agent.store.database import Database

HOUR = 3600.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


async def kept(store: AnswerStore, now: float) -> str:
    return "".join([digest for digest in "abcd" if await store.get(digest, now) is not None])


async def test_the_least_recently_used_goes_first(database: Database) -> None:
    store = AnswerStore(database, most_answers=2, age_seconds=10 * HOUR)
    await store.put("a", "A", 0.0)
    await store.put("b", "B", 1.0)
    assert await store.get("a", 2 * HOUR) == "A"
    await store.put("c", "C", 3 * HOUR)
    assert await kept(store, 3 * HOUR) == "ac"


async def test_a_use_within_the_hour_is_not_written(database: Database) -> None:
    store = AnswerStore(database, most_answers=2, age_seconds=10 * HOUR)
    await store.put("a", "A", 0.0)
    await store.put("b", "B", 1.0)
    before = await database.run(lambda tables: tables.execute("SELECT total_changes()").fetchone())
    assert await store.get("a", HOUR) == "A"
    assert await database.run(lambda tables: tables.execute("SELECT total_changes()").fetchone()) == before


async def test_an_answer_is_given_up_to_its_age_however_often_it_is_used(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await store.put("a", "A", 0.0)
    assert await store.get("a", 9 * HOUR) == "A"
    assert await store.get("a", 10 * HOUR) == "A"
    assert await store.get("a", 10 * HOUR + 1) is None


async def test_what_is_too_old_is_deleted_and_not_only_hidden(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await store.put("a", "A", 0.0)
    await store.put("b", "B", 10 * HOUR)
    assert await store.forget() == 2
    await store.put("a", "A", 0.0)
    await store.put("b", "B", 10 * HOUR + 1)
    assert await store.forget() == 1


async def test_an_answer_that_is_kept_again_is_as_new(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await store.put("a", "A", 0.0)
    await store.put("a", "B", 9 * HOUR)
    assert await store.get("a", 18 * HOUR) == "B"
    assert await store.forget() == 1


async def test_a_cache_without_room_keeps_nothing(database: Database) -> None:
    store = AnswerStore(database, most_answers=0, age_seconds=HOUR)
    await store.put("a", "A", 0.0)
    assert await kept(store, 0.0) == ""
