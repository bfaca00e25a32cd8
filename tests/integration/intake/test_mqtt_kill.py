"""SIGKILL at any moment: every prompt that the broker took is answered, once."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.store.database import Database
from agent.store.inbox import Inbox
from tests.integration.intake.agent_process import AgentProcess, Plan
from tests.integration.intake.device import Device
from tests.integration.intake.mosquitto import Mosquitto
from tests.integration.intake.waiting import until

PROMPTS_A_ROUND = 3

_TAKEN = "SELECT count(*) FROM inbox"
_UNANSWERED = "SELECT 1 FROM inbox WHERE content_type IS NULL"


@pytest.mark.parametrize("rounds", [15, pytest.param(1000, marks=[pytest.mark.system, pytest.mark.timeout(1800)])])
async def test_every_prompt_is_answered_once_though_the_agent_is_killed_again_and_again(
    broker: Mosquitto, tmp_path: Path, rounds: int
) -> None:
    file = tmp_path / "agent.db"
    Database(file).close()
    moments = random.Random(11)
    may_come_again: Counter[str] = Counter()
    killed_unanswered = 0
    async with Device(broker.port) as device:
        answers = Answers(device)
        async with AgentProcess(Plan(broker.port, file)):
            await device.until_status("online")  # from now on the broker keeps its prompts
        for number in range(rounds):
            taken = _rows(file, _TAKEN)[0][0]
            async with await asyncio.to_thread(AgentProcess, Plan(broker.port, file, seconds_a_word=0.02)):
                for index in range(PROMPTS_A_ROUND):
                    await device.send(_prompt(number, index))
                await until(partial(_more_than, taken, file))
                if number % 3 == 2:  # else a prompt might be given up, because the agent died of it too often
                    await until(lambda: not _rows(file, _UNANSWERED))
                await asyncio.sleep(moments.uniform(0, 0.12))
            await answers.drain()
            killed_unanswered += bool(_rows(file, _UNANSWERED))
            # The window that agent.intake.answering.Delivery tells of: the broker has the answer, and the store does not know it.
            may_come_again.update(answers.count.keys() & await _undelivered(file))
        expected = {f"{index} {number} a" for number in range(rounds) for index in range(PROMPTS_A_ROUND)}
        async with await asyncio.to_thread(AgentProcess, Plan(broker.port, file)):
            await answers.until_all(expected)
            await until(lambda: not _rows(file, "SELECT 1 FROM inbox WHERE delivered_time IS NULL"))
        await answers.drain()
    assert killed_unanswered
    assert answers.count.keys() == expected
    twice = {text: count for text, count in answers.count.items() if count > 1 + may_come_again[text]}
    assert not twice
    print(f"{rounds} kills, {killed_unanswered} with a prompt unanswered; in the window {may_come_again.total()}")


def _prompt(number: int, index: int) -> dict[str, str]:
    text = f"a {number} {index}"
    # Some bring an id and some do not: these are known again by their packet.
    return {"prompt": text, "id": f"{number}-{index}"} if index else {"prompt": text}


class Answers:
    """Counts the answers that a device hears."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.count: Counter[str] = Counter()

    async def drain(self) -> None:
        """Returns when all is counted that the broker had when this was called."""
        for _ in range(20):  # its sockets are read in turns, so one echo could overtake what a killed agent has left in another
            await self._device.send({"echo": True}, topic="echo/1")
            while "echo" not in (heard := await self._device.hear()).body:
                self.count[heard.body["answer"]] += 1

    async def until_all(self, expected: set[str]) -> None:
        """Returns when every one of these texts was heard."""
        while not expected <= self.count.keys():
            self.count[(await self._device.hear()).body["answer"]] += 1


def _more_than(taken: int, file: Path) -> bool:
    return bool(_rows(file, _TAKEN)[0][0] > taken)


async def _undelivered(file: Path) -> set[str]:
    database = Database(file)
    try:
        entries = await Inbox(database).undelivered(1_000_000)
    finally:
        database.close()
    return {json.loads(entry.answer or b"")["answer"] for entry in entries}


def _rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()
