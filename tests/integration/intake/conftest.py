"""A broker, a store and a running intake."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from agent.intake.mqtt import MqttIntake
from agent.intake.settings import MqttSettings
from agent.store.database import Database
from agent.store.inbox import Inbox
from tests.fakes.answerer import FakeAnswerer
from tests.fakes.feedback import FakeFeedback
from tests.integration.intake.device import AGENT
from tests.integration.intake.mosquitto import Mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "agent.db")
    yield database
    database.close()


@pytest.fixture
def answerer() -> FakeAnswerer:
    return FakeAnswerer()


@pytest.fixture
def feedback() -> FakeFeedback:
    return FakeFeedback()


class StartIntake(Protocol):
    """Runs an intake for the length of a `with` block; keywords are settings."""

    def __call__(self, port: int, inbox: Inbox | None = None, **settings: Any) -> AbstractAsyncContextManager[MqttIntake]: ...


@pytest.fixture
def start(database: Database, answerer: FakeAnswerer, feedback: FakeFeedback) -> StartIntake:
    @asynccontextmanager
    async def running(port: int, inbox: Inbox | None = None, **settings: Any) -> AsyncIterator[MqttIntake]:
        chosen = MqttSettings(port=port, reconnect_min_seconds=0.02, reconnect_max_seconds=0.05, **settings)
        kept, randomness = inbox or Inbox(database), random.SystemRandom()
        intake = MqttIntake(chosen, AGENT, kept, answerer, lambda: datetime.now(UTC), randomness, give_feedback=feedback.give)
        task = asyncio.create_task(intake.run())
        try:
            yield intake
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return running
