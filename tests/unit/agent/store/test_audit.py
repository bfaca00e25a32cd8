"""The receipts."""

import json
import sqlite3
from dataclasses import replace

import pytest

from agent.store.audit import ReceiptStore
from agent.store.database import Database
from contract.receipts import Departure
from tests.fakes.answerer import receipt


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


async def test_what_may_leave_is_handed_out_oldest_first_until_the_hub_has_it(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    for number in range(5):
        await store.append("c", receipt(f"p{number}"), float(number), may_record=number != 1)
    await store.append("c", replace(receipt("away"), route="escalated"), 5.0, may_record=True)
    first = await store.unrecorded(2)
    assert [(item.number, json.loads(item.text)["prompt_id"]) for item in first] == [(0, "p0"), (2, "p2")]
    assert await store.unrecorded(2) == first
    await store.recorded(first)
    assert [item.number for item in await store.unrecorded(10)] == [3, 4]


async def test_what_stands_in_no_leaf_is_not_handed_out(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    for number in range(3):
        await store.append("c", receipt(f"p{number}"), 0.0)
    await database.run(lambda tables: tables.execute("DELETE FROM receipt_nodes WHERE level > 0"))
    await store.append("c", receipt("p4"), 0.0, may_record=True)
    assert await store.unrecorded(10) == []


async def test_no_receipt_is_written_over(database: Database) -> None:
    store = ReceiptStore(database, age_seconds=100)
    await store.append("c", receipt("p1"), 0.0)
    with pytest.raises(sqlite3.IntegrityError):
        await store.append("c", replace(receipt("p1"), route="escalated"), 1.0)
    assert [row["route"] for row in await store.latest(10)] == ["local"]
