"""The receipts."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.receipts import Departure
from tests.fakes.answerer import receipt


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


async def test_the_newest_come_first_with_all_that_they_say(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    sent = replace(receipt("p2"), route="escalated", departure=Departure(1, 20, "cloud", "public", "eu"))
    await store.append("c1", receipt("p1"), 1.0)
    await store.append("c2", sent, 2.0)
    newest, oldest = await store.latest(10)
    assert (newest["client"], newest["prompt_id"], newest["departure"]["region"]) == ("c2", "p2", "eu")
    assert (oldest["client"], oldest["reasons"], oldest["departure"]) == ("c1", ["confident"], None)
    assert await store.latest(1) == [newest]


async def test_old_ones_are_forgotten_and_no_others(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    await store.append("c", receipt("p1"), 0.0)
    await store.append("c", receipt("p2"), 100.0)
    assert len(await store.latest(10)) == 2
    await store.append("c", receipt("p3"), 100.5)
    assert [row["prompt_id"] for row in await store.latest(10)] == ["p3", "p2"]


async def test_what_nobody_has_allowed_of_a_receipt_is_denied(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    await store.append("c", receipt("p1"), 0.0)
    await store.append("c", receipt("p2"), 1.0, may_record=True)
    await store.append("c", receipt("p3"), 2.0, may_learn=True)
    rows = await database.run(lambda tables: tables.execute("SELECT may_record, may_learn FROM receipts ORDER BY leaf").fetchall())
    assert rows == [(0, 0), (1, 0), (0, 1)]


async def test_no_receipt_is_written_over(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    await store.append("c", receipt("p1"), 0.0)
    with pytest.raises(sqlite3.IntegrityError):
        await store.append("c", replace(receipt("p1"), route="escalated"), 1.0)
    assert [row["route"] for row in await store.latest(10)] == ["local"]
