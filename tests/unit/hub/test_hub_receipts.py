"""Receipts in the hub's own log, without a hub: what is taken, and what once means, on both engines."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import InvalidRequest, NotPossibleNow, Reason
from contract.leaves import canonical
from contract.tree_heads import public_der
from hub.audit.check import check_log
from hub.audit.messages import ON_SITE, entry_message
from hub.audit.receipts import LONGEST_LEAF_BYTES, ReceiptEntry, read_receipt
from hub.audit.trail import Trail
from hub.store import heads
from hub.store.audit import Chosen
from hub.store.database import Database
from hub.store.tables import audit_nodes
from tests.fakes.answerer import receipt

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
FIELDS: dict[str, Any] = json.loads(receipt("p1").leaf("till"))


def entry(name: str, number: int, agent: str = "plant-7") -> ReceiptEntry:
    return ReceiptEntry(NOW, agent, number, receipt(name).leaf("till"))


async def test_a_receipt_is_written_once_for_its_agent_alike_on_both_engines(database_url: str) -> None:
    database = Database.open(database_url)
    trail = Trail(database, KEY, lambda: NOW, {})
    await database.write(lambda connection: heads.add_key(connection, public_der(KEY), NOW))
    await trail.record([entry("p1", 0), entry("p2", 1), entry("p2", 1)])
    await trail.record([entry("p2", 1), entry("p3", 2), entry("p1", 0, agent="plant-8")])
    await trail.record([entry("begun anew", 0)])
    found = [entry_message(record) for record in await trail.page(Chosen(), -1, 100)]
    assert [(item.agent, item.receipt_number, item.request_id) for item in found] == [
        ("agents/plant-7", 0, "receipt-p1"),
        ("agents/plant-7", 1, "receipt-p2"),
        ("agents/plant-7", 2, "receipt-p3"),
        ("agents/plant-8", 0, "receipt-p1"),
        ("agents/plant-7", 0, "receipt-begun anew"),
    ]
    await trail.sign()
    checked = await database.read(lambda connection: check_log(connection, [], NOW - timedelta(days=1)))
    assert (checked.entries, checked.findings) == (5, ())
    database.close()


async def test_a_tree_that_is_damaged_takes_none_of_them(database_url: str) -> None:
    database = Database.open(database_url)
    trail = Trail(database, KEY, lambda: NOW, {})
    await trail.record([entry(f"p{number}", number) for number in range(3)])
    await database.write(lambda connection: connection.execute(audit_nodes.delete().where(audit_nodes.c.level > 0)))
    with pytest.raises(NotPossibleNow) as caught:
        await trail.record([entry("p8", 8), entry("p9", 9)])
    assert caught.value.reason is Reason.LOG_DAMAGED
    assert len(await trail.page(Chosen(), -1, 100)) == 3
    database.close()


def test_an_entry_holds_the_receipt_as_it_was_and_says_where_it_stands_in_the_agents_log() -> None:
    told = json.loads(read_receipt(entry("p1", 7)).leaf())
    assert (told["agent"], told["receipt_number"], told["time"]) == ("plant-7", 7, "2026-11-28T12:00:00.000+00:00")
    assert canonical(told["receipt"]) == entry("p1", 7).text
    assert ON_SITE not in entry("p1", 7).text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{" * 50_000,
        json.dumps(FIELDS),
        canonical({name: value for name, value in FIELDS.items() if name != "receipt_id"}),
        canonical(FIELDS | {"data_class": "moon"}),
        canonical(FIELDS | {"data_class": 1}),
        canonical(FIELDS | {"reasons": [1]}),
        canonical(FIELDS | {"input_tokens": 2**63}),
        canonical(FIELDS | {"model": "m" * LONGEST_LEAF_BYTES}),
    ],
)
def test_what_cannot_be_kept_and_shown_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_receipt(replace(entry("p1", 0), text=text))
    assert caught.value.reason is Reason.FIELD_INVALID


def test_a_place_before_the_first_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        read_receipt(entry("p1", -1))
