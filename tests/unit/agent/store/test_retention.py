"""What the store may hold: ages, empty keys, and a key that is lost."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from agent.prompts import Message, Prompt
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.given import Given
from agent.store.inbox import Inbox, NewPrompt
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.retention import Ages, Retention
from agent.store.scrubbing import want_scrubbing
from agent.store.sketches import SketchStore
from agent.store.subjects import SEALED_TABLES, Subject
from agent.store.vault import Vault
from contract.classification import DataClass
from tests.fakes.answerer import receipt

START = datetime(2026, 11, 21, tzinfo=UTC)
NOW = START.timestamp()
DAY = 24 * 3600.0
TEA = Subject("c", "tea")
AGES = Ages(answers=DAY, turns=2 * DAY, vault=3 * DAY, classes=3.2 * DAY, sketches=3.7 * DAY)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db", b"a" * 32)
    yield opened
    opened.close()


def retention(database: Database, days: float = 0.0) -> Retention:
    return Retention(database, AGES, lambda: START + timedelta(days=days))


async def plant(database: Database) -> None:
    prompt = Prompt("p", "c", (Message("user", "asked"),), START, "tea")
    await AnswerStore(database, 100, 1e9).put("digest", "answer", TEA, NOW, NOW)
    await ConversationStore(database, 1e9).append(prompt, Message("assistant", "answer"), NOW)
    await Vault(database, 1e9).put("c", "tea", b"map", NOW)
    await ClassStore(database, 1e9).rise(TEA, DataClass.INTERNAL, NOW, NOW)
    shown = replace(receipt("p"), receipt_id=str(uuid4()))
    await ReceiptStore(database, 1e9).append("c", shown, NOW, may_learn=True, given=Given("digest", TEA, NOW))
    await SketchStore(database).put(shown.receipt_id, (0, 1, 1, 0), TEA, NOW, NOW)
    await Outbox(database, 100).append(OutboxEntry("e", TEA, b"asked", NOW, NOW + 4 * DAY))


async def counts(database: Database) -> dict[str, int]:
    tables = (*SEALED_TABLES, "subject_keys")
    found = await database.run(lambda store: {table: store.table(table).count for table in tables})
    return {table: count for table, count in found.items() if count}


async def test_each_kind_of_row_is_deleted_at_its_age_and_the_key_with_the_last(database: Database) -> None:
    await plant(database)
    held = {"answers": 1, "given": 1, "turns": 2, "vault": 1, "classes": 1, "sketches": 1, "outbox": 1, "subject_keys": 1}
    for days, gone in ((1.0, ""), (1.5, "answers"), (2.5, "turns"), (3.1, "vault"), (3.5, "classes"), (3.9, "sketches"), (4.5, "outbox")):
        await database.run(retention(database, days).sweep)
        held.pop(gone, None)
        if gone == "answers":
            held.pop("given")
        assert await counts(database) == ({} if gone == "outbox" else held)


async def test_a_new_key_is_left_until_something_may_lie_under_it(database: Database) -> None:
    await database.run(lambda tables: database.keys.current(tables, TEA, NOW))
    await database.run(retention(database, 0.9).sweep)
    assert await counts(database) == {"subject_keys": 1}


async def unscrubbed(database: Database) -> int:
    return await database.run(lambda tables: int(tables.table("erasures").count_where("scrubbed = 0")))


async def test_it_sweeps_and_scrubs_as_soon_as_it_runs(database: Database) -> None:
    await plant(database)
    await database.run(want_scrubbing)
    running = asyncio.create_task(retention(database, 9).run())
    async with asyncio.timeout(10):
        while await counts(database) or await unscrubbed(database):
            pass
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_store_that_fits_its_key_has_no_trouble(database: Database) -> None:
    await plant(database)
    kept = retention(database)
    await kept.start()
    assert kept.trouble == ""
    assert (await counts(database))["turns"] == 2


async def test_what_lay_under_a_lost_key_is_dropped_and_told_for_a_week_and_the_agent_goes_on(database: Database, tmp_path: Path) -> None:
    await plant(database)
    await Inbox(database).put(NewPrompt("c", "p1", b"asked", "topic", b"c", START), 100)
    other = Database(tmp_path / "agent.db", b"b" * 32)
    assert not other.key_fits
    with capture_logs() as logs:
        await retention(other).start()
    assert [line["event"] for line in logs] == ["sealed_rows_lost"]
    entry = await Inbox(other).begin(0)
    assert entry is not None
    assert (entry.payload, entry.response_topic, entry.correlation_data) == (None, "topic", b"c")
    assert await counts(other) == {"inbox": 1, "subject_keys": 1}
    await plant(other)
    assert await Vault(other, 1e9).get("c", "tea") == b"map"
    other.close()
    again = Database(tmp_path / "agent.db", b"b" * 32)
    for days, is_told in ((6.0, True), (8.0, False)):
        later = retention(again, days)
        await later.start()
        assert ("8 rows" in later.trouble) is is_told
    assert (await counts(again))["turns"] == 2
    again.close()


async def test_a_lost_key_and_a_disk_that_takes_nothing_keep_no_agent_from_starting(database: Database, tmp_path: Path) -> None:
    await plant(database)
    other = Database(tmp_path / "agent.db", b"b" * 32)
    await other.run(lambda tables: tables.execute("PRAGMA query_only = ON"))
    with capture_logs() as logs:
        await retention(other).start()
    assert [line["event"] for line in logs] == ["store_not_taken_over"]
    assert await Vault(other, 1e9).get("c", "tea") is None
    other.close()
