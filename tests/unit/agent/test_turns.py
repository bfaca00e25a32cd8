"""Turns of a conversation pass one by one, nobody else waits, and nothing is left behind."""

import asyncio
import gc
from datetime import UTC, datetime

import pytest

from agent.prompts import Message, Prompt
from agent.turns import Turns


def prompt(conversation: str | None, client: str = "c1") -> Prompt:
    return Prompt("p1", client, (Message("user", "hello"),), datetime(2026, 1, 2, tzinfo=UTC), conversation)


class Turn:
    """One that lasts until it is told to end."""

    def __init__(self, turns: Turns, of: Prompt) -> None:
        self.begun, self.end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, of))

    async def _run(self, turns: Turns, of: Prompt) -> None:
        async with turns.of(of):
            self.begun.set()
            await self.end.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_after_the_other_in_the_order_in_which_they_came() -> None:
    turns = Turns()
    held = [Turn(turns, prompt("talk")) for _ in range(3)]
    for number, turn in enumerate(held):
        await settle()
        assert [one.begun.is_set() for one in held] == [other <= number for other in range(3)]
        turn.end.set()
        await turn.task
    assert len(turns) == 0


@pytest.mark.parametrize("other", [prompt("another"), prompt("talk", client="c2"), prompt(None)])
async def test_nobody_else_waits(other: Prompt) -> None:
    turns = Turns()
    first, second = Turn(turns, prompt("talk")), Turn(turns, other)
    await settle()
    assert second.begun.is_set()
    for turn in (first, second):
        turn.end.set()
        await turn.task


@pytest.mark.parametrize("given_up", [0, 1])
async def test_one_that_is_given_up_holds_nobody_up(given_up: int) -> None:
    turns = Turns()
    held = [Turn(turns, prompt("talk")) for _ in range(3)]
    await settle()
    held[given_up].task.cancel()
    held[1 - given_up].end.set()
    await asyncio.wait([held[0].task, held[1].task])
    await settle()
    assert held[2].begun.is_set()
    held[2].end.set()
    await held[2].task
    del held
    gc.collect()  # a cancelled task and its traceback hold each other
    assert len(turns) == 0
