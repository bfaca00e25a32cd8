"""A store that was written in clear becomes one that is sealed, wholly or not at all."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database as Tables

from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.inbox import Inbox, NewPrompt
from agent.store.migrations import MIGRATIONS, migrate
from agent.store.subjects import SEALED_TABLES, Subject

NOW = 1_000_000.0
TIME = datetime.fromtimestamp(NOW, UTC)
SHA256_OF_WAITING = "68b0ddcab172e2f0b0ddc1a3ab3ae1b4b2bfa1f8e33e4a0a0d25a5b2c0b6d9b2"
CLEAR_STEPS = MIGRATIONS[: [step.__name__ for step in MIGRATIONS].index("_m0008_sealed")]


def write_in_clear(file: Path) -> None:
    """Writes what the version before wrote: each text holds the word canary."""
    turn = {"client": "c", "prompt_id": "p1", "create_time": NOW}
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        tables = Tables(connection)
        migrate(tables, CLEAR_STEPS)
        with tables.atomic():
            tables.table("inbox").insert_all(inbox_rows())
            tables.table("turns").insert_all(
                {**turn, "conversation": name, "role": role, "content": f"canary {name} {role}"}
                for name in ("tea", "milk")
                for role in ("system", "user", "user", "assistant")
            )
            tables.table("answers").insert({"digest": "d", "answer": "canary", "create_time": NOW, "used_time": NOW})


def inbox_rows() -> list[dict[str, object]]:
    row = {"client": "c", "response_topic": "t", "correlation_data": b"x", "received_time": NOW, "attempts": 1, "payload_sha256": "0"}
    return [
        {**row, "sequence": 7, "prompt_id": "waiting", "payload": b"canary waiting", "payload_sha256": SHA256_OF_WAITING},
        {**row, "sequence": 8, "prompt_id": "answered", "payload": b"", "answer": b"canary answered", "content_type": "text/plain"},
        {**row, "sequence": 9, "prompt_id": "delivered", "payload": b"", "answer": b"", "content_type": "t", "delivered_time": NOW},
    ]


async def assert_whole(database: Database) -> None:
    store, inbox = ConversationStore(database, 1e9), Inbox(database)
    for name in ("tea", "milk"):
        turns = await store.earlier(Prompt("new", "c", (), TIME, name), NOW)
        assert turns == tuple(Message(role, f"canary {name} {role}") for role in ("system", "user", "user", "assistant"))
    waiting = await inbox.begin(0)
    assert waiting is not None
    assert (waiting.sequence, waiting.payload, waiting.attempts, waiting.correlation_data) == (7, b"canary waiting", 2, b"x")
    assert [(entry.prompt_id, entry.answer) for entry in await inbox.undelivered(9)] == [("answered", b"canary answered")]


async def test_every_row_is_as_it_was_and_no_word_of_it_is_left_in_any_file(tmp_path: Path) -> None:
    write_in_clear(tmp_path / "agent.db")
    assert b"canary" in raw_bytes(tmp_path)
    database = Database(tmp_path / "agent.db")
    raw = raw_bytes(tmp_path)
    assert not [word for word in (b"canary", b"milk", SHA256_OF_WAITING.encode()) if word in raw]
    await assert_whole(database)
    assert await database.run(lambda tables: tables.table("answers").count) == 0
    assert await database.run(lambda tables: [name for name in tables.table_names() if name.startswith("clear")]) == []
    database.close()


async def test_a_prompt_that_was_taken_before_is_known_again(tmp_path: Path) -> None:
    file = tmp_path / "agent.db"
    write_in_clear(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE inbox SET payload_sha256 = ? WHERE sequence = 7", [sha256(b"canary waiting")])
    database = Database(file)
    again = NewPrompt("c", "waiting", b"canary waiting", "t", None, TIME)
    assert not await Inbox(database).put(again, 100)
    assert await Inbox(database).put(NewPrompt("c", "new", b"canary", "t", None, TIME), 100)
    newest = await Inbox(database).begin(9)
    assert newest is not None
    assert newest.sequence == 10
    database.close()


async def test_what_was_sealed_so_can_be_forgotten(tmp_path: Path) -> None:
    write_in_clear(tmp_path / "agent.db")
    database = Database(tmp_path / "agent.db")
    removed = await forget(database, Subject("c"), NOW)
    gone = {"inbox": 3, "turns": 8, "subject_keys": 3}
    assert removed == {**dict.fromkeys(SEALED_TABLES, 0), **gone}
    database.close()


async def test_a_failure_on_the_way_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "agent.db"
    write_in_clear(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE vault (x)")  # in the way of the step
    with pytest.raises(sqlite3.OperationalError):
        Database(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM turns WHERE content LIKE 'canary%'").fetchone() == (8,)
        connection.execute("DROP TABLE vault")
    database = Database(file)
    await assert_whole(database)
    database.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))
