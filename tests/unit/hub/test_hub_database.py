"""The database: migrations, transactions, and what is said when it cannot be had."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from contract.errors import NotPossibleNow, Unavailable
from hub.folder import DataFolder
from hub.store import agents, engines, events
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.engines import create_engine
from hub.store.events import EventRecord, NewEvent
from hub.store.tables import metadata
from tests.fakes.postgres import Postgres

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def record(agent_id: str = "plant-7", seen: datetime | None = None) -> AgentRecord:
    return AgentRecord(agent_id, "0" * 64, b"certificate", NOW, NOW + timedelta(days=30), seen)


def url(path: Path) -> str:
    return f"sqlite:///{path / 'hub.db'}"


async def test_what_was_written_is_there_after_opening_again(database_url: str) -> None:
    database = Database.open(database_url)
    await database.write(lambda connection: agents.insert(connection, record()))
    database.close()
    database = Database.open(database_url)
    assert await database.read(lambda connection: agents.get(connection, "plant-7")) == record()
    database.close()


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a b%20c?d#e@f:g")
    folder.path.mkdir()
    Database.open(folder.database_url).close()
    assert folder.database.exists()


async def test_times_come_back_in_utc_whatever_zone_they_had(database_url: str) -> None:
    database = Database.open(database_url)
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    await database.write(lambda connection: agents.insert(connection, record(seen=east)))
    found = await database.read(lambda connection: agents.get(connection, "plant-7"))
    assert found is not None
    assert found.last_seen_time == NOW
    assert found.last_seen_time.tzinfo is UTC
    database.close()


async def test_work_that_raises_leaves_nothing(database_url: str) -> None:
    def work(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record())
        raise LookupError

    database = Database.open(database_url)
    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.read(lambda connection: agents.page(connection, "", 10)) == []
    database.close()


async def test_of_writes_at_the_same_time_one_that_raises_fails_alone(database_url: str) -> None:
    def fail(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record("b"))
        agents.insert(connection, record("b"))

    database = Database.open(database_url)
    works = [lambda connection: agents.insert(connection, record("a")), fail, lambda connection: agents.insert(connection, record("c"))]
    outcomes = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "IntegrityError", "NoneType"]
    found = await database.read(lambda connection: agents.page(connection, "", 10))
    assert [agent.agent_id for agent in found] == ["a", "c"]
    database.close()


async def test_concurrent_writers_wait_for_each_other(database_url: str) -> None:
    def append(connection: sqlalchemy.Connection) -> None:
        count = len(agents.page(connection, "", 1000))
        agents.insert(connection, record(f"agent-{count:03}"))

    database = Database.open(database_url)
    await asyncio.gather(*(database.write(append) for _ in range(40)))
    assert len(await database.read(lambda connection: agents.page(connection, "", 1000))) == 40
    database.close()


async def test_work_runs_beside_the_event_loop(database_url: str) -> None:
    database = Database.open(database_url)
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


def test_the_migrations_make_the_tables_that_the_code_uses(database_url: str) -> None:
    Database.open(database_url).close()
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    Database.open(database_url).close()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(NotPossibleNow, match="install the version that made it"):
        Database.open(database_url)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "sqlite:////nowhere/at/all/hub.db", "oracle9://u:SECRET@h/x", "postgresql://u:SECRET@127.0.0.1:1/x", "sqlite:///{}"],
)
def test_a_database_that_cannot_be_had_is_a_clear_error_without_its_password(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_bytes(b"this is no database, this is a text file" * 100)
    with pytest.raises(NotPossibleNow, match="database_url") as raised:
        Database.open(text.format(tmp_path / "file"))
    assert "SECRET" not in raised.value.message


async def test_two_processes_write_one_after_the_other_and_numbers_become_visible_in_their_order(postgres: Postgres) -> None:
    """A reader that goes on from the last number it has seen misses none."""
    url = postgres.create_database()
    one, other = Database.open(url), Database.open(url)
    seen: list[int] = []
    done = asyncio.Event()

    def append(connection: sqlalchemy.Connection) -> None:
        count = len(agents.page(connection, "", 1000))
        agents.insert(connection, record(f"agent-{count:03}"))
        events.append(connection, [NewEvent(NOW, "AGENT_ENROLLED", f"agents/{count}")] * 3)

    async def follow() -> None:
        found: list[EventRecord] = []
        while found or not done.is_set():
            found = await one.read(lambda connection: events.after(connection, max(seen, default=0), 1000))
            seen.extend(event.sequence for event in found)
        found = await one.read(lambda connection: events.after(connection, max(seen, default=0), 1000))
        seen.extend(event.sequence for event in found)

    following = asyncio.create_task(follow())
    await asyncio.gather(*(database.write(append) for _ in range(10) for database in (one, other)))
    for _ in range(20):
        await asyncio.gather(*(database.write(append) for database in (one, other)))
    done.set()
    await following
    kept = await other.read(lambda connection: events.after(connection, 0, 1000))
    assert seen == [event.sequence for event in kept]
    assert [event.subject for event in kept] == [f"agents/{number // 3}" for number in range(180)]
    one.close()
    other.close()


def test_processes_that_start_at_the_same_time_make_the_tables_once(postgres: Postgres) -> None:
    url = postgres.create_database()
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(Database.open, [url] * 4))
    for database in opened:
        database.close()


async def test_a_database_that_was_restarted_is_used_again(postgres: Postgres) -> None:
    url = postgres.create_database()
    database = Database.open(url)
    await database.write(lambda connection: agents.insert(connection, record()))
    postgres.hang_up(url)
    assert await database.read(lambda connection: agents.get(connection, "plant-7")) == record()
    database.close()


async def test_a_transaction_that_is_ended_from_outside_is_unavailable_and_leaves_nothing(postgres: Postgres) -> None:
    url = postgres.create_database()
    database = Database.open(url)

    def work(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record())
        postgres.hang_up(url)
        agents.insert(connection, record("plant-8"))

    with pytest.raises(Unavailable):
        await database.write(work)
    assert await database.read(lambda connection: agents.page(connection, "", 10)) == []
    database.close()


async def test_a_process_that_stands_still_in_a_write_holds_the_others_up_for_a_while_only(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database()
    monkeypatch.setattr(engines, "IDLE_SECONDS", 1)
    still, other = Database.open(url), Database.open(url)
    has_turn, stand = threading.Event(), threading.Event()

    def work(connection: sqlalchemy.Connection) -> None:
        agents.insert(connection, record("still"))
        has_turn.set()
        stand.wait(30)
        agents.insert(connection, record("later"))

    standing = asyncio.create_task(still.write(work))
    await asyncio.to_thread(has_turn.wait, 30)
    await other.write(lambda connection: agents.insert(connection, record("other")))
    stand.set()
    with pytest.raises(Unavailable):
        await standing
    assert [agent.agent_id for agent in await other.read(lambda connection: agents.page(connection, "", 10))] == ["other"]
    still.close()
    other.close()


async def test_a_nul_in_a_text_is_kept_as_a_replacement_and_found_by_nobody(database_url: str) -> None:
    database = Database.open(database_url)
    await database.write(lambda connection: agents.insert(connection, replace(record(), refusal="a\0b")))
    found = await database.read(lambda connection: agents.get(connection, "plant-7"))
    assert found is not None
    assert found.refusal == "a\ufffdb"
    assert await database.read(lambda connection: agents.get(connection, "plant\0-7")) is None
    database.close()


async def test_what_is_read_in_one_go_is_of_one_moment(database_url: str) -> None:
    database = Database.open(database_url)
    await database.write(lambda connection: agents.insert(connection, record("a")))
    loop = asyncio.get_running_loop()

    def read_twice(connection: sqlalchemy.Connection) -> list[int]:
        before = len(agents.page(connection, "", 10))
        write = database.write(lambda connection: agents.insert(connection, record("b")))
        asyncio.run_coroutine_threadsafe(write, loop).result(30)
        return [before, len(agents.page(connection, "", 10))]

    assert await database.read(read_twice) == [1, 1]
    database.close()
