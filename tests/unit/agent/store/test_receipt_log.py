"""Receipts as the leaves of a log: kept with their hashes, forgotten without them, taken in from earlier versions."""

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database as Tables

from agent.log_check import check_log
from agent.store.audit import MOST_FORGOTTEN, ReceiptStore
from agent.store.database import Database
from agent.store.heads import HeadStore, read_head
from agent.store.migrations import MIGRATIONS, migrate
from agent.store.proofs import prove
from agent.store.receipt_tree import kept_nodes, tree_size
from contract.errors import NotFound, NotPossibleNow, Reason
from contract.merkle import Frontier, leaf_hash, root
from contract.tree_heads import SignedHead, TreeHead, sign_head
from tests.fakes.answerer import receipt

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECONDS = NOW.timestamp()
BEFORE_ALL = NOW - timedelta(days=4000)


async def fill(database: Database, count: int, age_seconds: float = 1e9) -> ReceiptStore:
    store = ReceiptStore(database, age_seconds)
    for number in range(count):
        await store.append("till", receipt(f"p{number}"), SECONDS + number)
    return store


async def findings(database: Database, kept_since: datetime = BEFORE_ALL) -> tuple[str, ...]:
    return (await database.run(lambda tables: check_log(tables, None, kept_since))).findings


async def test_the_tree_is_that_over_the_receipts_texts(database: Database) -> None:
    await fill(database, 13)
    frontier = Frontier()
    for number in range(13):
        frontier.append(leaf_hash(receipt(f"p{number}").leaf("till").encode()))
    assert await database.run(lambda tables: root(kept_nodes(tables), tree_size(tables))) == frontier.root()
    assert await findings(database) == ()


async def test_a_receipt_and_its_leaf_are_kept_together_or_not_at_all(database: Database) -> None:
    store = await fill(database, 3)
    with pytest.raises(sqlite3.IntegrityError):
        await store.append("till", receipt("p1"), SECONDS)
    assert await database.run(tree_size) == 3
    assert await findings(database) == ()


async def test_what_is_forgotten_leaves_its_hash_and_the_log_goes_on(database: Database) -> None:
    store = await fill(database, 20, age_seconds=10)
    before = await database.run(lambda tables: root(kept_nodes(tables), 20))
    await store.append("till", receipt("late"), SECONDS + 1000)
    assert [row["prompt_id"] for row in await store.latest(10)] == ["late"]
    assert await database.run(lambda tables: root(kept_nodes(tables), 20)) == before
    assert await database.run(tree_size) == 21
    assert await findings(database) == ()


async def test_a_clock_that_was_behind_leaves_no_gap(database: Database) -> None:
    store = await fill(database, 3, age_seconds=100)
    await store.append("till", receipt("in 1970"), 5.0)
    await store.append("till", receipt("right again"), SECONDS + 10)
    assert [row["prompt_id"] for row in await store.latest(10)] == ["right again", "in 1970", "p2", "p1", "p0"]
    assert await findings(database) == ()


async def test_forgetting_takes_no_long_time_at_once(database: Database) -> None:
    await fill(database, MOST_FORGOTTEN + 5)
    store = ReceiptStore(database, age_seconds=1)
    await store.append("till", receipt("late"), SECONDS + 1000)
    assert len(await store.latest(1000)) == 6
    await store.append("till", receipt("later"), SECONDS + 1000)
    assert len(await store.latest(1000)) == 2


async def test_a_tree_that_is_damaged_ends_no_answer_and_the_receipt_stands_beside_it(database: Database) -> None:
    store = await fill(database, 3)
    await database.run(lambda tables: tables.execute("DELETE FROM receipt_nodes WHERE level = 1"))
    await store.append("till", receipt("after"), SECONDS)
    assert (await store.latest(1))[0]["prompt_id"] == "after"
    assert "receipt receipt-after stands in no leaf: it was added beside the log, or its leaf was cut off" in await findings(database)


async def test_leaves_that_were_cut_off_are_grown_over_and_the_heads_tell(database: Database) -> None:
    store, heads = await fill(database, 6), HeadStore(database, 1e9)
    await heads.sign("agents/a", SignedHead, NOW, lambda _: True)
    await database.run(lambda tables: tables.execute("DELETE FROM receipt_nodes WHERE level = 0 AND position > 3"))
    await database.run(lambda tables: tables.execute("DELETE FROM receipts WHERE leaf > 3"))
    for number in range(3):
        await store.append("till", receipt(f"new{number}"), SECONDS)
    assert any("its first 6 receipts are not those of the head" in finding for finding in await findings(database))


def test_receipts_of_an_earlier_version_become_the_first_leaves() -> None:
    tables = Tables(memory=True)
    migrate(tables, MIGRATIONS[:6])
    for number in (3, 4, 9):  # those before were forgotten
        text = json.dumps(receipt(f"p{number}").to_dict())
        row = {"sequence": number, "receipt_id": f"receipt-p{number}", "client": "till", "receipt": text, "create_time": SECONDS}
        tables.table("receipts").insert(row)
    migrate(tables)
    checked = check_log(tables, None, BEFORE_ALL)
    assert (checked.receipts, checked.kept, checked.findings) == (3, 3, ())
    assert tables.execute("SELECT receipt FROM receipts WHERE leaf = 2").fetchone() == (receipt("p9").leaf("till"),)
    tables.close()


async def test_a_head_is_made_where_there_is_something_new(database: Database) -> None:
    heads, key = HeadStore(database, 1e9), ec.generate_private_key(ec.SECP256R1())
    assert await heads.sign("agents/a", SignedHead, NOW, lambda _: True) is None
    store = await fill(database, 2)
    unsigned = await heads.sign("agents/a", SignedHead, NOW, lambda _: True)
    assert unsigned is not None
    assert (unsigned.size, unsigned.signed.is_signed, unsigned.witness) == (2, False, None)
    assert await heads.sign("agents/a", SignedHead, NOW + timedelta(hours=1), lambda _: True) == unsigned
    signed = await heads.sign("agents/a", lambda head: sign_head(key, head), NOW, lambda _: False)
    assert signed is not None
    assert (signed.size, signed.signed.is_good()) == (2, True)
    await store.append("till", receipt("p2"), SECONDS)
    third = await heads.sign("agents/a", lambda head: sign_head(key, head), NOW, lambda _: True)
    assert third is not None
    assert third.size == 3
    assert await heads.newest() == third
    assert await findings(database) == ()


async def test_old_heads_are_forgotten_but_for_the_newest(database: Database) -> None:
    heads, store = HeadStore(database, age_seconds=100), await fill(database, 1)
    for number in range(1, 4):
        await heads.sign("agents/a", SignedHead, NOW + timedelta(seconds=80 * number), lambda _: True)
        await store.append("till", receipt(f"p{number}"), SECONDS)
    sizes = await database.run(lambda tables: [size for (size,) in tables.execute("SELECT size FROM receipt_heads ORDER BY size")])
    assert sizes == [2, 3]


async def grow(heads: HeadStore, store: ReceiptStore, days: range, name: str = "agents/a") -> None:
    for day in days:
        time = NOW + timedelta(days=day)
        await store.append("till", receipt(f"p{day}"), time.timestamp())
        await heads.sign(name, SignedHead, time, lambda _: True)


async def test_each_head_names_the_one_before_and_retention_in_order_leaves_no_fault(database: Database) -> None:
    age = timedelta(days=10)
    heads, store = HeadStore(database, age.total_seconds()), ReceiptStore(database, age.total_seconds())
    await grow(heads, store, range(30))
    assert (await database.run(lambda tables: tables.table("receipt_heads").count), len(await store.latest(100))) == (11, 11)
    end = NOW + timedelta(days=29)
    assert await findings(database, end - age) == ()
    assert await findings(database, BEFORE_ALL) == (), "receipt_seconds has become longer since"


async def test_the_oldest_receipts_cannot_go_with_all_heads_of_their_time(database: Database) -> None:
    age = timedelta(days=10)
    heads, store = HeadStore(database, age.total_seconds()), ReceiptStore(database, age.total_seconds())
    await grow(heads, store, range(30))

    def tamper(tables: Tables) -> None:
        tables.execute("DELETE FROM receipts WHERE leaf < 26")
        tables.execute("DELETE FROM receipt_heads WHERE size < 27")

    await database.run(tamper)
    (fault,) = await findings(database, NOW + timedelta(days=19))
    assert "the head of 26 receipts" in fault


async def test_heads_of_an_earlier_version_stay_good_and_are_named_by_the_next_one(database: Database) -> None:
    heads, store = HeadStore(database, 1e9), ReceiptStore(database, 1e9)
    await grow(heads, store, range(3))
    await database.run(lambda tables: tables.execute("UPDATE receipt_heads SET chain = NULL"))
    await grow(heads, store, range(3, 6))
    assert await findings(database) == ()
    await database.run(lambda tables: tables.execute("DELETE FROM receipt_heads WHERE size = 3"))
    (fault,) = await findings(database)
    assert "the head of 3 receipts" in fault


async def test_a_head_that_is_signed_anew_stays_the_same_head(database: Database) -> None:
    heads, store, key = HeadStore(database, 1e9), ReceiptStore(database, 1e9), ec.generate_private_key(ec.SECP256R1())
    await grow(heads, store, range(2))
    before = await heads.newest()
    again = await heads.sign("agents/a", lambda head: sign_head(key, head), NOW + timedelta(days=2), lambda _: False)
    assert before is not None
    assert again is not None
    assert (again.signed.head, again.signed.is_good()) == (before.signed.head, True)


async def test_a_head_under_the_name_of_an_enrolled_agent_names_what_was_before_the_one_it_replaces(database: Database) -> None:
    heads, store = HeadStore(database, 1e9), ReceiptStore(database, 1e9)
    await grow(heads, store, range(2))
    renamed = await heads.sign("agents/b", SignedHead, NOW + timedelta(days=2), lambda _: False)
    assert renamed is not None
    assert (renamed.size, renamed.signed.head.log, renamed.signed.head.chain and renamed.signed.head.chain.previous) == (
        2,
        "agents/b",
        (await heads_of(database))[0].as_previous(),
    )
    await grow(heads, store, range(2, 4), "agents/b")
    assert await findings(database) == ()


async def heads_of(database: Database) -> list[TreeHead]:
    return await database.run(
        lambda tables: [read_head(row).signed.head for row in tables.query("SELECT * FROM receipt_heads ORDER BY size")]
    )


@pytest.mark.parametrize("damage", ["time = 'then'", "chain = '{}'", "chain = 'x'"])
async def test_where_the_newest_head_cannot_be_read_none_is_made_and_that_is_said(database: Database, damage: str) -> None:
    heads, store = HeadStore(database, 1e9), ReceiptStore(database, 1e9)
    await grow(heads, store, range(2))
    await database.run(lambda tables: tables.execute(f"UPDATE receipt_heads SET {damage} WHERE size = 2"))
    with pytest.raises(NotPossibleNow) as refused:
        await grow(heads, store, range(2, 3))
    assert refused.value.reason is Reason.LOG_DAMAGED
    assert "the head of 2 receipts cannot be read" in await findings(database)


async def test_a_proof_is_under_the_first_head_behind_the_receipt(database: Database) -> None:
    heads, store = HeadStore(database, 1e9), await fill(database, 3)
    with pytest.raises(NotPossibleNow) as raised:
        await database.run(lambda tables: prove(tables, "receipt-p1"))
    assert raised.value.reason is Reason.LOG_NOT_SIGNED
    await heads.sign("agents/a", SignedHead, NOW, lambda _: True)
    await store.append("till", receipt("p3"), SECONDS)
    await heads.sign("agents/a", SignedHead, NOW, lambda _: True)
    early, late = [await database.run(partial(prove, receipt_id=name)) for name in ("receipt-p1", "receipt-p3")]
    assert (early.number, early.signed.head.size, list(early.faults())) == (1, 3, [])
    assert (late.number, late.signed.head.size, list(late.faults())) == (3, 4, [])
    with pytest.raises(NotFound) as missing:
        await database.run(lambda tables: prove(tables, "receipt-x"))
    assert missing.value.reason is Reason.RECEIPT_NOT_FOUND


def test_a_leaf_is_one_text_whatever_the_order_of_fields() -> None:
    text = receipt("p1").leaf("kiosk-å")
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert json.loads(text)["format_version"] == 1
    assert text.isascii()
    assert replace(receipt("p1"), route="cache").leaf("kiosk-å") != text
    assert TreeHead("agents/a", 1, leaf_hash(text.encode()), NOW) != TreeHead("agents/a", 1, leaf_hash(b""), NOW)
