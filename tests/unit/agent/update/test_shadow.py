"""The shadow run: what is compared, when, and what becomes of it."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence

import pytest

from agent.inference.answer import Finished, Piece
from agent.prompts import Message, Sampling
from agent.traffic import LiveAnswer, Traffic
from agent.update.shadow import Shadow, alike
from contract import health
from tests.fakes.engine import FakeEngine
from tests.fakes.fleet_agent import eventually


class Closable(FakeEngine):
    """Counts how often it was asked, at which priority."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words, 0.5)
        self.priorities: list[int] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str = "",
        *,
        priority: int = 0,
        deadline_seconds: float | None = None,
    ) -> AsyncGenerator[Piece | Finished, None]:
        self.priorities.append(priority)
        async for piece in super().generate(messages, sampling, client):
            yield piece
            await self.may_go_on.wait()

    async def close(self) -> None:
        """Nothing is to be closed."""


def live(*texts: str, temperature: float = 0.0) -> LiveAnswer:
    return LiveAnswer("sha256:old", False, (Message("user", "hello"),), Sampling(temperature=temperature), texts, len(texts) + 1)


class Run:
    """A shadow run, and the prompts that come while it goes on."""

    def __init__(self, percent: int = 100) -> None:
        self.traffic = Traffic()
        self.is_asked = False
        self.seconds = 0.0
        self.shadow = Shadow(self.traffic, lambda: self.is_asked, percent, random.Random(1), lambda: self.seconds)

    async def over(self, model: Closable, answers: int, *given: LiveAnswer) -> dict[str, float]:
        running = asyncio.create_task(self.shadow.run(model, answers, 100.0))
        await asyncio.sleep(0)
        for answer in given:
            self.traffic.answered(answer)
        await asyncio.wait_for(running, 10)
        return self.shadow.figures


async def test_agreement_is_the_share_of_pieces_that_both_begin_with() -> None:
    figures = await Run().over(Closable(["a ", "b ", "x ", "d "]), 2, live("a ", "b ", "c ", "d "), live("a ", "b "))
    assert figures == {health.SHADOW_AGREEMENT: pytest.approx(4 / 6)}


async def test_the_new_model_is_asked_the_same_at_the_lowest_priority() -> None:
    model = Closable(["a"])
    await Run().over(model, 1, live("a"))
    assert model.asked == [(Message("user", "hello"),)]
    assert model.priorities == [-1]


async def test_random_and_escalated_answers_are_not_compared() -> None:
    model = Closable(["a"])
    await Run().over(model, 1, live("b", temperature=1.0), live(), live("a"))
    assert len(model.asked) == 1


async def test_only_a_sample_is_compared() -> None:
    run = Run(percent=10)
    model = Closable(["a"])
    await run.over(model, 5, *[live("a")] * 100)
    assert len(model.asked) == 5


async def test_nothing_is_compared_while_a_prompt_is_answered_and_what_was_begun_is_given_up_for_it() -> None:
    run, model = Run(), Closable(["a "] * 5)
    run.is_asked = True
    model.may_go_on.clear()
    running = asyncio.create_task(run.shadow.run(model, 1, 100.0))
    await asyncio.sleep(0)
    run.traffic.answered(live(*["a "] * 5))
    for _ in range(10):
        await asyncio.sleep(0)
    assert model.asked == []
    run.is_asked = False
    await eventually(lambda: model.given_words > 0)
    run.is_asked = True
    model.may_go_on.set()
    await eventually(lambda: model.is_cancelled)
    assert run.shadow.compared == 0
    run.is_asked = False
    await asyncio.wait_for(running, 10)
    assert run.shadow.figures == {health.SHADOW_AGREEMENT: 1.0}


async def test_time_ends_it_and_without_a_prompt_it_says_nothing() -> None:
    run = Run()
    running = asyncio.create_task(run.shadow.run(Closable(["a"]), 1, 100.0))
    await asyncio.sleep(0)
    run.seconds = 101.0
    await asyncio.wait_for(running, 10)
    assert run.shadow.figures == {}


async def test_nobody_listens_after_it() -> None:
    run, model = Run(), Closable(["a"])
    await run.over(model, 1, live("a"))
    run.traffic.answered(live("a"))
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("texts", "other", "count"),
    [(("a", "b"), "ab", 2), (("a", "b"), "abc", 2), (("a", "b"), "ac", 1), (("a", "b"), "", 0), ((), "a", 0)],
)
def test_pieces_are_alike_from_the_beginning(texts: tuple[str, ...], other: str, count: int) -> None:
    assert alike(texts, other) == count
