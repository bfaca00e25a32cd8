"""The steps that make the tables."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlite_utils import Database as Tables

from agent.store.migrations import MIGRATIONS, migrate

STEPS = [step.__name__ for step in MIGRATIONS]


@pytest.fixture
def tables() -> Iterator[Tables]:
    opened = Tables(memory=True)
    yield opened
    opened.close()


def schema(tables: Tables) -> list[tuple[str, str]]:
    return sorted(tables.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())


def applied(tables: Tables) -> list[str]:
    return [name for (name,) in tables.execute("SELECT name FROM migrations ORDER BY rowid").fetchall()]


@pytest.mark.parametrize("seen", range(len(MIGRATIONS) + 1))
def test_a_file_of_any_earlier_version_becomes_as_a_new_one(tables: Tables, seen: int) -> None:
    migrate(tables, MIGRATIONS[:seen])
    assert applied(tables) == STEPS[:seen]
    migrate(tables)
    assert applied(tables) == STEPS
    new = Tables(memory=True)
    migrate(new)
    assert schema(tables) == schema(new)
    new.close()


def test_no_step_is_taken_twice(tables: Tables) -> None:
    migrate(tables)
    migrate(tables)
    assert applied(tables) == STEPS


def test_steps_have_names_that_tell_their_order() -> None:
    assert sorted(STEPS) == STEPS
    assert len(set(STEPS)) == len(STEPS)


def test_a_step_that_fails_leaves_nothing_and_can_be_taken_again(tables: Tables) -> None:
    def _m9999_half(tables: Tables) -> None:
        tables.table("half").create({"id": int}, pk="id")
        tables.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(sqlite3.OperationalError):
        migrate(tables, (*MIGRATIONS, _m9999_half))
    assert applied(tables) == STEPS
    assert "half" not in tables.table_names()


def test_a_step_that_is_not_known_is_refused_before_anything_is_changed(tables: Tables) -> None:
    migrate(tables, MIGRATIONS[1:5])
    with pytest.raises(sqlite3.DatabaseError, match="newer"):
        migrate(tables, MIGRATIONS[:1])
    assert applied(tables) == STEPS[1:5]


def test_tables_refuse_values_of_a_wrong_type(tables: Tables) -> None:
    migrate(tables)
    with pytest.raises(sqlite3.IntegrityError):
        tables.execute("INSERT INTO answers (digest, key, answer, create_time, used_time) VALUES ('d', 1, 'in clear', 1.0, 1.0)")


def test_what_forgetting_looks_for_is_indexed(tables: Tables) -> None:
    migrate(tables)
    for table in ("turns", "answers", "receipts", "feedback", "vault", "sketches"):
        plan = tables.execute(f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE create_time < 1").fetchall()
        assert "USING INDEX" in plan[0][3]


def test_receipts_of_earlier_versions_leave_the_site_no_more_than_before(tables: Tables) -> None:
    migrate(tables, MIGRATIONS[: STEPS.index("_m0010_sharing")])
    tables.table("receipts").insert({"receipt_id": "r", "client": "c", "receipt": "{}", "create_time": 1.0, "leaf": 0})
    migrate(tables)
    assert tables.execute("SELECT may_record, may_learn FROM receipts").fetchall() == [(0, 0)]
