"""The store's file and its transactions."""

import _sqlite3
import asyncio
import ctypes
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database as Tables

from agent.store.database import Database
from agent.store.migrations import MIGRATIONS, migrate
from agent.store.scrubbing import want_scrubbing


def add_receipt(tables: Tables) -> None:
    tables.table("receipts").insert({"receipt_id": "d", "client": "c", "receipt": "{}", "create_time": 1.0})


async def count_receipts(database: Database) -> int:
    return await database.run(lambda tables: tables.table("receipts").count)


def sqlite_bytes() -> int:
    """What SQLite holds in this process: sqlite3_memory_used(3)."""
    used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    used.restype = ctypes.c_int64
    return int(used())


async def test_what_was_written_is_there_after_the_file_is_opened_again(tmp_path: Path) -> None:
    first = Database(tmp_path / "agent.db")
    await first.run(add_receipt)
    first.close()
    second = Database(tmp_path / "agent.db")
    assert await count_receipts(second) == 1
    second.close()


async def test_another_reader_sees_what_was_written_when_run_returns(database: Database, tmp_path: Path) -> None:
    await database.run(add_receipt)
    with closing(sqlite3.connect(tmp_path / "agent.db")) as reader:
        assert reader.execute("SELECT count(*) FROM receipts").fetchone() == (1,)


async def test_pages_that_were_read_are_forgotten_and_their_rows_are_not(database: Database) -> None:
    def fill(tables: Tables) -> None:
        tables.table("desired_state").insert({"id": 1, "generation": 1, "configuration": bytes(1 << 20)})

    await database.run(fill)
    kept = sqlite_bytes()
    await asyncio.to_thread(database.forget_pages)
    assert sqlite_bytes() < kept - (1 << 19)
    assert await database.run(lambda tables: tables.execute("SELECT length(configuration) FROM desired_state").fetchone()) == (1 << 20,)


async def test_every_commit_is_synced(database: Database) -> None:
    full = 2
    assert await database.run(lambda tables: tables.execute("PRAGMA synchronous").fetchone()) == (full,)
    assert await database.run(lambda tables: tables.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


async def test_work_that_raises_leaves_nothing(database: Database) -> None:
    def insert_many_then_fail(tables: Tables) -> None:
        add_receipt(tables)
        tables.table("desired_state").upsert({"id": 1, "generation": 1, "configuration": b""}, pk="id")
        tables.table("receipts").insert_all(
            {"receipt_id": str(number), "client": "c", "receipt": "{}", "create_time": 1.0} for number in range(200)
        )
        tables.execute("DELETE FROM receipts WHERE receipt_id = 'd'")
        raise LookupError

    with pytest.raises(LookupError):
        await database.run(insert_many_then_fail)
    assert await count_receipts(database) == 0
    assert await database.run(lambda tables: tables.table("desired_state").count) == 0
    await database.run(add_receipt)
    assert await count_receipts(database) == 1


async def test_work_that_breaks_a_rule_of_the_tables_leaves_nothing(database: Database) -> None:
    await database.run(add_receipt)

    def add_two(tables: Tables) -> None:
        tables.execute("INSERT INTO desired_state VALUES (1, 1, x'')")
        add_receipt(tables)

    with pytest.raises(sqlite3.IntegrityError):
        await database.run(add_two)
    assert await count_receipts(database) == 1


async def test_work_that_another_process_came_in_between_is_done_again(database: Database, tmp_path: Path) -> None:
    tries = []

    def read_then_write(tables: Tables) -> None:
        tries.append(tables.table("receipts").count)
        if len(tries) == 1:
            with closing(sqlite3.connect(tmp_path / "agent.db")) as other, other:
                other.execute("INSERT INTO receipts (receipt_id, client, receipt, create_time) VALUES ('x', 'c', '{}', 1.0)")
        add_receipt(tables)

    await database.run(read_then_write)
    assert tries == [0, 1]
    assert await count_receipts(database) == 2


async def test_nothing_temporary_or_deleted_stays_on_the_disk(database: Database) -> None:
    pragmas = ("temp_store", "secure_delete", "foreign_keys")
    memory, on = 2, 1
    await database.run(want_scrubbing)
    await database.scrub()
    found = await database.run(lambda tables: [tables.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas])
    assert found == [memory, on, on]


@pytest.mark.parametrize("mask", [0, 0o022])
def test_nobody_else_may_read_the_file_nor_its_log(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        database = Database(tmp_path / "agent.db")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("agent.db", "agent.db-wal", "agent.db-shm", "data.key"), 0o600)


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    def _m9999_later(tables: Tables) -> None:
        tables.table("later").create({"id": int}, pk="id")

    newer = Tables(sqlite3.connect(tmp_path / "agent.db"))
    migrate(newer, (*MIGRATIONS, _m9999_later))
    newer.close()
    with pytest.raises(sqlite3.DatabaseError, match=r"newer seawall-agent .*_m9999_later"):
        Database(tmp_path / "agent.db")
    with closing(sqlite3.connect(tmp_path / "agent.db")) as reader:
        assert reader.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_what_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "agent.db").write_bytes(b"no database " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Database(tmp_path / "agent.db")
    assert (tmp_path / "agent.db").read_bytes() == b"no database " * 100


@pytest.mark.parametrize("name", ["missing/agent.db", "."])
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(sqlite3.DatabaseError):
        Database(tmp_path / name)
