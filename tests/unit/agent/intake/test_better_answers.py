"""From the worker's better answer to the inbox, from where it is delivered."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.intake.better_answers import BetterAnswers
from agent.later.prompts import LatePrompt
from agent.prompts import Answer, Message, Prompt
from agent.store.database import Database
from agent.store.inbox import Inbox, NewPrompt, Wanted
from contract.classification import DataClass
from tests.fakes.answerer import receipt

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATE = LatePrompt(Prompt("p1", "till", (Message("user", "hi"),), NOW, intake="mqtt"), "receipt-0", DataClass.PUBLIC, False)
ANSWER = Answer("better", "stop", 3, 4, receipt("p1"))


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    database = Database(tmp_path / "agent.db")
    yield Inbox(database)
    database.close()


class Told:
    """Is told that there is something to deliver."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def provisional(inbox: Inbox) -> None:
    await inbox.put(NewPrompt("till", "p1", b"{}", "a/answers", b"c", NOW), 9)
    entry = await inbox.begin(0)
    assert entry is not None
    await inbox.set_answer(entry.sequence, b"provisional", "application/json", NOW + timedelta(hours=1))
    await inbox.set_delivered(entry.sequence, NOW)


async def test_it_is_delivered_under_the_same_id_and_names_the_answer_that_it_follows(inbox: Inbox) -> None:
    told = Told()
    better = BetterAnswers(inbox, told, lambda: NOW)
    await provisional(inbox)
    assert await better.want(LATE) is Wanted.YES
    await better.give(LATE, ANSWER)
    (entry,) = await inbox.undelivered(9)
    content = json.loads(entry.answer or b"")
    assert (content["id"], content["answer"], content["replaces"], "better_until" in content) == ("p1", "better", "receipt-0", False)
    assert (entry.correlation_data, entry.content_type, told.times) == (b"c", "application/json", 1)


async def test_a_second_one_after_a_power_cut_goes_nowhere(inbox: Inbox) -> None:
    told = Told()
    better = BetterAnswers(inbox, told, lambda: NOW)
    await provisional(inbox)
    for _ in range(2):
        await better.give(LATE, ANSWER)
    assert (len(await inbox.undelivered(9)), told.times, await better.want(LATE)) == (1, 1, Wanted.NO)


async def test_by_http_it_is_wanted_for_the_cache_and_given_to_nobody(inbox: Inbox) -> None:
    told = Told()
    better, late = BetterAnswers(inbox, told, lambda: NOW), replace(LATE, prompt=replace(LATE.prompt, intake="http"))
    assert await better.want(late) is Wanted.YES
    await better.give(late, ANSWER)
    assert (await inbox.undelivered(9), told.times) == ([], 0)
