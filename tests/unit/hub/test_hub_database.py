"""The database: migrations, transactions, and what is said when it cannot be had."""

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from contract.errors import NotPossibleNow, Unavailable
from hub.folder import DataFolder
from hub.store import agents
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.tables import metadata

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def record(agent_id: str = "plant-7", seen: datetime | None = None) -> AgentRecord:
    return AgentRecord(agent_id, "0" * 64, b"certificate", NOW, NOW + timedelta(days=30), seen)


def url(path: Path) -> str:
    return f"sqlite:///{path / 'hub.db'}"


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    await database.write(lambda connection: agents.insert(connection, record()))
    database.close()
    database = Database.open(url(tmp_path))
    assert await database.read(lambda connection: agents.get(connection, "plant-7")) == record()
    database.close()


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a b%20c?d#e@f:g")
    folder.path.mkdir()
    Database.open(folder.database_url).close()
    assert folder.database.exists()


async def test_times_come_back_in_utc_whatever_zone_they_had(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    await database.write(lambda connection: agents.insert(connection, record(seen=east)))
    found = await database.read(lambda connection: agents.get(connection, "plant-7"))
    assert found is not None
    assert found.last_seen_time == NOW
    assert found.last_seen_time.tzinfo is UTC
    database.close()


async def test_work_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def work(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record())
        raise LookupError

    database = Database.open(url(tmp_path))
    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.read(lambda connection: agents.page(connection, "", 10)) == []
    database.close()


async def test_of_writes_at_the_same_time_one_that_raises_fails_alone(tmp_path: Path) -> None:
    def fail(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record("b"))
        agents.insert(connection, record("b"))

    database = Database.open(url(tmp_path))
    works = [lambda connection: agents.insert(connection, record("a")), fail, lambda connection: agents.insert(connection, record("c"))]
    outcomes = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "IntegrityError", "NoneType"]
    found = await database.read(lambda connection: agents.page(connection, "", 10))
    assert [agent.agent_id for agent in found] == ["a", "c"]
    database.close()


async def test_concurrent_writers_wait_for_each_other(tmp_path: Path) -> None:
    def append(connection: sqlalchemy.Connection) -> None:
        count = len(agents.page(connection, "", 1000))
        agents.insert(connection, record(f"agent-{count:03}"))

    database = Database.open(url(tmp_path))
    await asyncio.gather(*(database.write(append) for _ in range(40)))
    assert len(await database.read(lambda connection: agents.page(connection, "", 1000))) == 40
    database.close()


async def test_work_runs_beside_the_event_loop(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    loop_went_on = threading.Event()
    asyncio.get_running_loop().call_soon(loop_went_on.set)
    assert await database.read(lambda _: loop_went_on.wait(timeout=30))
    database.close()


async def test_sqlite_syncs_every_commit_and_checks_references(tmp_path: Path) -> None:
    def pragmas(connection: sqlalchemy.Connection) -> list[object]:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")]

    database = Database.open(url(tmp_path))
    assert await database.read(pragmas) == ["wal", 2, 1]
    database.close()


async def test_a_database_that_goes_away_is_unavailable(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    with sqlite3.connect(tmp_path / "hub.db") as other:
        other.execute("DROP TABLE join_tokens")
        other.execute("DROP TABLE agents")
    with pytest.raises(Unavailable, match="Try again"):
        await database.read(lambda connection: agents.get(connection, "plant-7"))
    database.close()


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    Database.open(url(tmp_path)).close()
    engine = sqlalchemy.create_engine(url(tmp_path))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Database.open(url(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "hub.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(NotPossibleNow, match="install the version that made it"):
        Database.open(url(tmp_path))


@pytest.mark.parametrize("text", ["nonsense", "sqlite:////nowhere/at/all/hub.db", "oracle9://u:SECRET@h/x", "sqlite:///{}"])
def test_a_database_that_cannot_be_had_is_a_clear_error_without_its_password(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_bytes(b"this is no database, this is a text file" * 100)
    with pytest.raises(NotPossibleNow, match="database_url") as raised:
        Database.open(text.format(tmp_path / "file"))
    assert "SECRET" not in raised.value.message
