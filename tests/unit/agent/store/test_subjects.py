"""The keys of clients and conversations."""

from collections.abc import Iterator

import pytest
from sqlite_utils import Database as Tables

from agent.store.migrations import migrate
from agent.store.sealing import Unreadable
from agent.store.subjects import Subject, SubjectKeys

DAY = 24 * 3600.0
TEA, MILK, LONE = Subject("c", "tea"), Subject("c", "milk"), Subject("c")
PLACE = ("vault", "content", "x")


@pytest.fixture
def tables() -> Iterator[Tables]:
    opened = Tables(memory=True)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def keys() -> SubjectKeys:
    return SubjectKeys(b"d" * 32)


def test_a_subject_keeps_its_key_and_no_two_have_the_same(tables: Tables, keys: SubjectKeys) -> None:
    subjects = [TEA, MILK, LONE, Subject("c", ""), Subject("d", "tea"), Subject("ct", "ea")]
    made = [keys.current(tables, subject, 0.0) for subject in subjects]
    assert [keys.current(tables, subject, DAY).number for subject in subjects] == [key.number for key in made]
    assert len({key.number for key in made}) == len(made)
    sealed = made[0].sealer.seal(b"text", *PLACE)
    assert keys.held(tables, made[0].number).sealer.open(sealed, *PLACE) == b"text"
    for other in made[1:]:
        with pytest.raises(Unreadable):
            other.sealer.open(sealed, *PLACE)


def test_after_a_month_new_rows_get_a_new_key_and_old_ones_still_open(tables: Tables, keys: SubjectKeys) -> None:
    old = keys.current(tables, TEA, 0.0)
    sealed = old.sealer.seal(b"text", *PLACE)
    new = keys.current(tables, TEA, 30 * DAY)
    assert new.number != old.number
    assert keys.current(tables, TEA, 31 * DAY).number == new.number
    assert keys.held(tables, old.number).sealer.open(sealed, *PLACE) == b"text"


def test_a_key_that_is_destroyed_is_gone_and_its_number_never_comes_back(tables: Tables, keys: SubjectKeys) -> None:
    old = keys.current(tables, TEA, 0.0)
    tables.execute("DELETE FROM subject_keys")
    with pytest.raises(Unreadable):
        keys.held(tables, old.number)
    assert keys.current(tables, TEA, 0.0).number > old.number


@pytest.mark.parametrize(
    "change",
    [
        "wrapped = (SELECT wrapped FROM subject_keys WHERE key = 2)",
        "owner = 'another'",
        "subject = (SELECT subject FROM subject_keys WHERE key = 2)",
        "wrapped = x''",
    ],
)
def test_a_key_that_was_moved_to_another_subject_does_not_open(tables: Tables, keys: SubjectKeys, change: str) -> None:
    first = keys.current(tables, TEA, 0.0)
    keys.current(tables, MILK, 0.0)
    tables.execute(f"UPDATE subject_keys SET {change} WHERE key = {first.number}")
    with pytest.raises(Unreadable):
        keys.held(tables, first.number)


def test_in_place_of_a_key_that_cannot_be_opened_another_is_made(tables: Tables, keys: SubjectKeys) -> None:
    broken = keys.current(tables, TEA, 0.0)
    tables.execute("UPDATE subject_keys SET wrapped = x'01'")
    assert keys.current(tables, TEA, 0.0).number > broken.number


def test_neither_names_nor_keys_lie_in_the_table(tables: Tables) -> None:
    drawn: list[bytes] = []

    def draw(length: int) -> bytes:
        drawn.append(bytes([65 + len(drawn)]) * length)
        return drawn[-1]

    SubjectKeys(b"d" * 32, draw).current(tables, Subject("client-4711", "patient-4711"), 0.0)
    row = str(next(iter(tables.table("subject_keys").rows)))
    assert drawn[0] == b"A" * 32
    assert "A" * 8 not in row
    assert "4711" not in row


def test_digests_are_of_this_device_and_of_one_kind_of_thing() -> None:
    one, two = SubjectKeys(b"d" * 32), SubjectKeys(b"e" * 32)
    names = [one.owner("c"), two.owner("c"), one.subject(LONE), one.subject(Subject("c", "")), one.digest("prompt", "c")]
    assert len(set(names)) == len(names)
    assert one.digest("a", "bc") != one.digest("ab", "c")


def test_a_store_knows_the_key_that_it_was_sealed_under(tables: Tables, keys: SubjectKeys) -> None:
    assert keys.fit(tables)
    assert keys.fit(tables)
    other = SubjectKeys(b"e" * 32)
    assert not other.fit(tables)
    other.adopt(tables, 3, 1.0)
    assert other.fit(tables)
    assert not keys.fit(tables)
