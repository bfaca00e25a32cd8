"""The class of a conversation rises and never falls."""

from pathlib import Path

import pytest

from agent.store.classes import ClassStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject
from contract.classification import DataClass

TEA, MILK, OTHER = Subject("till", "tea"), Subject("till", "milk"), Subject("door", "tea")
PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = DataClass
AGE = 10_000.0


async def rise(database: Database, data_class: DataClass, subject: Subject = TEA, now: float = 0.0) -> DataClass:
    return await ClassStore(database, AGE).rise(subject, data_class, now, now)


async def test_a_conversation_keeps_the_highest_class_that_it_has_had(database: Database) -> None:
    asked = [PUBLIC, INTERNAL, PUBLIC, RESTRICTED, CONFIDENTIAL, PUBLIC]
    assert [await rise(database, one) for one in asked] == [PUBLIC, INTERNAL, INTERNAL, RESTRICTED, RESTRICTED, RESTRICTED]


async def test_another_conversation_and_another_client_have_their_own(database: Database) -> None:
    await rise(database, RESTRICTED)
    assert [await rise(database, PUBLIC, subject) for subject in (MILK, OTHER)] == [PUBLIC, PUBLIC]


async def test_it_is_kept_as_long_as_the_conversation_goes_on_and_no_longer(database: Database) -> None:
    await rise(database, CONFIDENTIAL)
    for hours in range(1, 5):
        assert await rise(database, PUBLIC, now=hours * AGE * 0.9) is CONFIDENTIAL
    assert await rise(database, PUBLIC, now=AGE * 5.0) is PUBLIC


async def test_in_a_conversation_shorter_kept_than_it_is_touched_it_does_not_fall(database: Database) -> None:
    classes = ClassStore(database, 1800)
    assert await classes.rise(TEA, RESTRICTED, 0, 0) is RESTRICTED
    for now in range(300, 5700, 300):
        assert await classes.rise(TEA, PUBLIC, now, now) is RESTRICTED


async def test_forgetting_the_conversation_forgets_it_and_a_prompt_from_before_leaves_none(database: Database) -> None:
    await rise(database, RESTRICTED)
    await forget(database, TEA, 1.0)
    assert await ClassStore(database, AGE).rise(TEA, RESTRICTED, 0.5, 2.0) is RESTRICTED
    assert await rise(database, PUBLIC, now=2.0) is PUBLIC


@pytest.mark.parametrize("damage", ["UPDATE classes SET content = x'01'", "UPDATE subject_keys SET wrapped = x'00'"])
async def test_a_class_that_can_no_longer_be_opened_is_restricted(database: Database, damage: str) -> None:
    await rise(database, INTERNAL)
    await database.run(lambda tables: tables.execute(damage))
    assert await rise(database, PUBLIC) is RESTRICTED


async def test_neither_names_nor_classes_lie_in_the_file_and_all_rows_are_of_one_length(database: Database, tmp_path: Path) -> None:
    for data_class, subject in zip((INTERNAL, CONFIDENTIAL, RESTRICTED), (TEA, MILK, OTHER), strict=True):
        await rise(database, data_class, subject)
    rows = await database.run(lambda tables: list(tables.table("classes").rows))
    assert len({len(row["content"]) for row in rows}) == 1
    assert not [word for word in (b"till", b"restricted", b"confidential") if word in raw_bytes(tmp_path)]


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))


async def test_a_public_conversation_and_one_that_does_not_rise_write_nothing(database: Database) -> None:
    await rise(database, PUBLIC)
    assert await database.run(lambda tables: tables.table("classes").count) == 0
    await rise(database, INTERNAL)
    before = await database.run(lambda tables: list(tables.table("classes").rows))
    await rise(database, PUBLIC, now=60.0)
    assert await database.run(lambda tables: list(tables.table("classes").rows)) == before
