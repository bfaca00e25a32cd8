"""Which kept answer was given: noted beside the receipt, and gone with the receipt, with the answer and with whoever asked."""

from dataclasses import replace

import pytest

from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.given import Given
from agent.store.live import LiveStore
from agent.store.subjects import Subject
from tests.fakes.answerer import receipt

NOW, HOUR = 1_000_000.0, 3600.0
ANN, BEN = Subject("ann", "tea"), Subject("ben")


@pytest.fixture
async def answers(database: Database) -> AnswerStore:
    """With an answer that Ann has asked for."""
    store = AnswerStore(database, 100, HOUR)
    await store.put("d", "A", ANN, NOW, NOW)
    return store


async def give(database: Database, name: str, subject: Subject = BEN, now: float = NOW, age_seconds: float = 1e9) -> None:
    shown = replace(receipt(name), receipt_id=name)
    await ReceiptStore(database, age_seconds).append(subject.client, shown, now, given=Given("d", subject, NOW))


async def say(database: Database, name: str, is_good: bool, subject: Subject = BEN) -> None:
    await LiveStore(database, 1e9).give_feedback(subject.client, name, is_good, NOW)


async def noted(database: Database) -> list[str]:
    return await database.run(lambda tables: [row["receipt_id"] for row in tables.table("given").rows])


async def test_a_bad_word_ends_the_kept_answer_for_all_and_a_good_one_does_not(database: Database, answers: AnswerStore) -> None:
    await give(database, "first", ANN)
    await give(database, "again")
    await say(database, "again", is_good=True)
    assert await answers.get("d", NOW) == "A"
    await say(database, "again", is_good=False)
    assert await answers.get("d", NOW) is None
    assert await noted(database) == []
    await say(database, "first", is_good=False, subject=ANN)


async def test_a_bad_word_ends_no_answer_that_has_come_in_its_place(database: Database, answers: AnswerStore) -> None:
    await give(database, "old")
    later = NOW + HOUR + 1
    await answers.put("d", "B", ANN, later, later)
    await say(database, "old", is_good=False)
    assert await answers.get("d", later) == "B"


async def test_what_is_kept_no_more_when_its_receipt_is_written_is_not_noted(database: Database, answers: AnswerStore) -> None:
    await answers.forget()
    await give(database, "r")
    assert await noted(database) == []
    assert len(await ReceiptStore(database, 1e9).latest(9)) == 1


@pytest.mark.usefixtures("answers")
async def test_a_note_goes_with_its_receipt(database: Database) -> None:
    await give(database, "old")
    await give(database, "new", now=NOW + 20, age_seconds=10)
    assert await noted(database) == ["new"]


async def test_a_note_goes_with_whoever_asked_and_the_answer_to_another_stays(database: Database, answers: AnswerStore) -> None:
    await give(database, "r")
    assert (await forget(database, BEN, NOW + 1))["given"] == 1
    assert await noted(database) == []
    assert await answers.get("d", NOW) == "A"


@pytest.mark.usefixtures("answers")
async def test_of_somebody_who_was_forgotten_since_he_asked_nothing_is_noted(database: Database) -> None:
    await forget(database, BEN, NOW + 1)
    await give(database, "r", now=NOW + 2)
    assert await noted(database) == []
