import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agent.intake.answering import Answering
from agent.intake.broker import Outgoing
from agent.intake.connection import Connection
from agent.intake.settings import MqttSettings
from agent.store.database import Database
from agent.store.inbox import Inbox, NewPrompt, Wanted
from tests.fakes.answerer import FakeAnswerer

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STATUS = Outgoing("status", b"", "text/plain")


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


class Worker:
    """Runs Answering without a broker."""

    def __init__(self, inbox: Inbox, answerer: FakeAnswerer, max_concurrent: int = 4) -> None:
        self._inbox = inbox
        self._answered = asyncio.Event()
        connection = Connection(MqttSettings(), "agent", "filter", STATUS, STATUS, lambda _: None, random.Random(1))
        self._answering = Answering("a1", inbox, answerer, max_concurrent, connection, self._answered.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._answering.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def answers(self, count: int) -> dict[str, dict[str, str]]:
        """Returns the answers by their prompt's id, as soon as there are so many."""
        async with asyncio.timeout(10):
            while len(entries := await self._inbox.undelivered(100)) < count:
                self._answered.clear()
                await self._answered.wait()
        return {entry.prompt_id: json.loads(entry.answer or b"") for entry in entries}


async def put(inbox: Inbox, *names: str) -> None:
    for name in names:
        await inbox.put(NewPrompt("device", name, b'{"prompt":"one two","stream":true}', "topic", None, NOW), 100)


async def test_prompts_that_wait_are_answered_without_a_broker(inbox: Inbox) -> None:
    await put(inbox, "p1", "p2")
    worker = Worker(inbox, FakeAnswerer())
    async with worker.running():
        answers = await worker.answers(2)
    assert {name: answer["answer"] for name, answer in answers.items()} == {"p1": "two one", "p2": "two one"}


async def test_the_time_of_arrival_survives_a_restart(inbox: Inbox) -> None:
    await put(inbox, "p1")
    answerer = FakeAnswerer()
    worker = Worker(inbox, answerer)
    async with worker.running():
        await worker.answers(1)
    assert answerer.prompts[0].received_time == NOW


async def test_a_prompt_of_which_the_process_died_three_times_is_given_up(inbox: Inbox) -> None:
    await put(inbox, "deadly", "other")
    for _ in range(3):
        await inbox.begin(0)
    answerer = FakeAnswerer()
    worker = Worker(inbox, answerer)
    with capture_logs() as logs:
        async with worker.running():
            answers = await worker.answers(2)
    assert answers["deadly"]["reason"] == "INTERNAL"
    assert answers["other"]["answer"] == "two one"
    assert [prompt.prompt_id for prompt in answerer.prompts] == ["other"]
    assert [entry["event"] for entry in logs] == ["prompt_given_up"]


async def test_a_prompt_of_which_the_process_may_have_died_is_worked_on_alone(inbox: Inbox) -> None:
    await put(inbox, "suspect", "b", "c")
    await inbox.begin(0)
    answerer = FakeAnswerer()
    gate = answerer.gate = asyncio.Event()
    worker = Worker(inbox, answerer)
    async with worker.running():
        await asyncio.wait_for(answerer.begun.wait(), 10)
        for _ in range(20):  # round trips to the store, in which others would begin
            await inbox.undelivered(1)
        assert [prompt.prompt_id for prompt in answerer.prompts] == ["suspect"]
        gate.set()
        await worker.answers(3)
    assert answerer.most_at_once <= 2


async def test_a_prompt_whose_key_is_lost_is_answered_with_that_and_those_behind_it_as_ever(inbox: Inbox, database: Database) -> None:
    await put(inbox, "lost")
    await database.run(lambda tables: tables.execute("UPDATE subject_keys SET wrapped = x'00'"))
    await put(inbox, "p2")
    worker = Worker(inbox, FakeAnswerer())
    async with worker.running():
        answers = await worker.answers(2)
    assert answers["lost"]["reason"] == "PROMPT_LOST"
    assert answers["p2"]["answer"] == "two one"


async def test_an_answer_that_may_be_followed_by_a_better_one_is_remembered_as_such(inbox: Inbox) -> None:
    await put(inbox, "p1", "p2")
    answerer = FakeAnswerer()
    worker = Worker(inbox, answerer)
    answerer.better_until = NOW + timedelta(hours=1)
    async with worker.running():
        answers = await worker.answers(2)
    assert answers["p1"]["better_until"] == "2026-11-21T01:00:00+00:00"
    assert await inbox.wants_better("device", "p1", NOW) is Wanted.NOT_YET
    for entry in await inbox.undelivered(2):
        await inbox.set_delivered(entry.sequence, NOW)
    assert await inbox.wants_better("device", "p1", NOW) is Wanted.YES
