"""The outbox: prompts that are asked again later."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.subjects import Subject

ENTRY = OutboxEntry("e1", Subject("c", "tea"), b"asked", 10.0, 100.0)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, most_entries=3)


async def ids(outbox: Outbox, now: float = 10.0) -> list[str]:
    found, last = [], 0
    while (entry := await outbox.next(last, now)) is not None:
        found.append(entry.entry_id)
        last = entry.sequence
    return found


@pytest.mark.parametrize("subject", [Subject("c", "tea"), Subject("c"), Subject("c", "")])
async def test_a_prompt_comes_out_as_it_went_in_with_the_attempts_that_were_begun(outbox: Outbox, subject: Subject) -> None:
    entry = replace(ENTRY, subject=subject)
    assert await outbox.append(entry)
    for attempts in (0, 1, 2):
        assert await outbox.next(0, 10.0) == replace(entry, attempts=attempts, sequence=1)
        assert await outbox.begin("e1") == attempts + 1
    await outbox.done("e1")
    assert await outbox.begin("e1") == 0


async def test_they_come_in_the_order_of_arrival_until_they_are_done(outbox: Outbox) -> None:
    for name in ("b", "a", "c"):
        await outbox.append(replace(ENTRY, entry_id=name))
    assert await ids(outbox) == ["b", "a", "c"]
    await outbox.done("a")
    assert await ids(outbox) == ["b", "c"]


async def test_one_is_taken_once_and_no_more_than_may_wait(outbox: Outbox) -> None:
    for name in ("a", "a", "b", "c"):
        assert await outbox.append(replace(ENTRY, entry_id=name))
    assert not await outbox.append(replace(ENTRY, entry_id="d"))
    assert await outbox.append(replace(ENTRY, entry_id="a"))
    assert await ids(outbox) == ["a", "b", "c"]


async def test_one_that_is_taken_again_stands_in_its_place_as_it_is_now_with_no_attempts(outbox: Outbox) -> None:
    for name in ("e1", "e2"):
        await outbox.append(replace(ENTRY, entry_id=name))
    await outbox.begin("e1")
    again = replace(ENTRY, content=b"asked again", create_time=11.0, expire_time=111.0)
    assert await outbox.append(again)
    assert await outbox.next(0, 11.0) == replace(again, sequence=1)
    assert await outbox.count() == 2


async def test_it_says_that_one_was_taken_and_nothing_where_none_was(outbox: Outbox, database: Database) -> None:
    await forget(database, Subject("c"), 10.0)
    await outbox.append(ENTRY)
    assert not outbox.appended.is_set()
    await outbox.append(replace(ENTRY, subject=Subject("d")))
    assert outbox.appended.is_set()


async def test_its_ids_are_the_same_for_the_same_prompt_alone_and_show_nothing_of_it(outbox: Outbox) -> None:
    name = outbox.name("till", "p1")
    assert name == outbox.name("till", "p1")
    assert len({name, outbox.name("till", "p2"), outbox.name("other", "p1")}) == 3
    assert "till" not in name


async def test_one_that_has_expired_is_not_given_and_makes_room(outbox: Outbox) -> None:
    await outbox.append(ENTRY)
    await outbox.append(replace(ENTRY, entry_id="e2", expire_time=101.0))
    assert await ids(outbox, now=100.0) == ["e2"]
    assert await outbox.forget(100.0) == 0
    assert await outbox.forget(101.0) == 1


async def test_one_that_cannot_be_opened_is_dropped_and_those_behind_it_come(outbox: Outbox, database: Database) -> None:
    await outbox.append(ENTRY)
    await outbox.append(replace(ENTRY, entry_id="e2", subject=Subject("d")))
    await database.run(lambda tables: tables.execute("UPDATE outbox SET content = x'01' WHERE entry_id = 'e1'"))
    assert await ids(outbox) == ["e2"]
    assert await outbox.forget(1e9) == 1


async def test_nothing_is_taken_that_was_asked_before_its_asker_was_forgotten(outbox: Outbox, database: Database) -> None:
    await forget(database, Subject("c"), 10.0)
    assert not await outbox.append(ENTRY)
    assert await outbox.append(replace(ENTRY, create_time=10.5))


async def test_neither_prompt_nor_names_lie_in_the_file(outbox: Outbox, tmp_path: Path) -> None:
    await outbox.append(replace(ENTRY, subject=Subject("client-4711", "patient-4711"), content=b"secret"))
    raw = raw_bytes(tmp_path)
    assert b"e1" in raw
    assert not [word for word in (b"secret", b"4711") if word in raw]


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))
