"""What is counted of models, and what people say of answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.prompts import Sampling
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.live import LiveCounts, LiveStore
from agent.traffic import LiveAnswer, Traffic
from contract.errors import NotFound, Reason, Unavailable
from tests.fakes.answerer import receipt

NEW = "sha256:new"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


@pytest.fixture
def live(database: Database) -> LiveStore:
    return LiveStore(database, age_seconds=100)


def answer(*, is_unsure: bool = False, digest: str = NEW) -> LiveAnswer:
    return LiveAnswer(digest, is_unsure, (), Sampling(), (), 1)


async def give(database: Database, client: str, prompt_id: str, digest: str = NEW) -> None:
    await ReceiptStore(database, 1000).append(client, replace(receipt(prompt_id), model_digest=digest), 0.0)


async def test_what_is_counted_adds_up_over_writes_and_models_are_kept_apart(live: LiveStore) -> None:
    traffic = Traffic()
    for _ in range(2):
        traffic.answered(answer())
        traffic.answered(answer(is_unsure=True))
        traffic.broke(NEW)
        traffic.answered(answer(digest="sha256:old"))
        await traffic.write(live)
        await traffic.write(live)
    assert await live.of(NEW) == LiveCounts(answers=4, errors=2, unsure=2)
    assert await live.of("sha256:old") == LiveCounts(answers=2)
    assert await live.of("sha256:unknown") == LiveCounts()


async def test_what_is_said_of_an_answer_to_a_similar_question_does_not_count_against_the_model(
    database: Database, live: LiveStore
) -> None:
    for number, reasons in enumerate((("cached",), ("similar",), ("a-policy", "similar"), ("similar", "cached"))):
        shown = replace(receipt(f"p{number}"), model_digest=NEW, route="cache", reasons=reasons)
        await ReceiptStore(database, 1000).append("till", shown, 0.0)
        await live.give_feedback("till", f"p{number}", False, 1.0)
    assert await live.of(NEW) == LiveCounts(bad=2), "a policy may be called similar"


async def test_what_the_disk_does_not_take_is_written_the_next_time(database: Database, live: LiveStore) -> None:
    traffic = Traffic()
    traffic.answered(answer())
    await database.run(lambda tables: tables.execute("PRAGMA query_only = ON"))
    with pytest.raises(Unavailable) as refused:
        await traffic.write(live)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    traffic.answered(answer())
    await database.run(lambda tables: tables.execute("PRAGMA query_only = OFF"))
    await traffic.write(live)
    assert await live.of(NEW) == LiveCounts(answers=2)


async def test_feedback_is_counted_for_the_model_of_the_answer_and_the_last_word_counts(database: Database, live: LiveStore) -> None:
    for number in range(3):
        await give(database, "till", f"p{number}")
    await live.give_feedback("till", "p0", True, 1.0)
    await live.give_feedback("till", "p1", False, 1.0)
    await live.give_feedback("till", "p2", True, 1.0)
    await live.give_feedback("till", "p2", False, 2.0)
    assert await live.of(NEW) == LiveCounts(good=1, bad=2)


@pytest.mark.parametrize(
    "unseen",
    [
        {"provisional": True, "intake": "mqtt", "reasons": ("followed-up", "hub-unavailable")},
        {"provisional": False, "intake": "http", "reasons": ("followed-up",)},
    ],
    ids=["brought no answer", "came when nobody waited"],
)
async def test_feedback_is_of_the_answer_that_was_seen(database: Database, live: LiveStore, unseen: dict[str, Any]) -> None:
    await give(database, "till", "p1")
    await ReceiptStore(database, 1000).append("till", replace(receipt("p1"), receipt_id="later", route="escalated", **unseen), 1.0)
    await live.give_feedback("till", "p1", False, 2.0)
    assert await live.of(NEW) == LiveCounts(bad=1)


async def test_nobody_judges_the_answers_of_others(database: Database, live: LiveStore) -> None:
    await give(database, "till", "p1")
    for client, prompt_id in (("panel", "p1"), ("till", "p2")):
        with pytest.raises(NotFound) as refused:
            await live.give_feedback(client, prompt_id, False, 1.0)
        assert refused.value.reason is Reason.ANSWER_NOT_FOUND
    assert await live.of(NEW) == LiveCounts()


async def test_old_feedback_is_forgotten(database: Database, live: LiveStore) -> None:
    await give(database, "till", "p1")
    await give(database, "till", "p2")
    await live.give_feedback("till", "p1", False, 0.0)
    await live.give_feedback("till", "p2", True, 101.0)
    assert await live.of(NEW) == LiveCounts(good=1)


async def test_an_answer_is_found_by_an_index(database: Database) -> None:
    query = "EXPLAIN QUERY PLAN SELECT receipt_id FROM receipts WHERE client = ? AND json_extract(receipt, '$.prompt_id') = ?"
    plan = await database.run(lambda tables: tables.execute(query, ["till", "p1"]).fetchall())
    assert "idx_receipts_prompt" in plan[0][3]


def test_what_was_counted_since_a_moment_is_never_negative_feedback() -> None:
    begin = LiveCounts(answers=10, errors=1, unsure=2, good=3, bad=4)
    assert LiveCounts(answers=12, errors=1, unsure=3, good=1, bad=6).since(begin) == LiveCounts(answers=2, unsure=1, bad=2)
