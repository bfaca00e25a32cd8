"""An agent's intakes in a process of their own, to be killed and measured. The answers are the fake's."""

import asyncio
import logging
import multiprocessing
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry

from agent.intake.http import HttpIntake
from agent.intake.mqtt import MqttIntake
from agent.intake.settings import HttpSettings, MqttSettings
from agent.store.database import Database
from agent.store.inbox import Inbox
from tests.fakes.answerer import FakeAnswerer
from tests.integration.intake.device import AGENT

# Forked from a process that has the imports done: a start takes milliseconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Plan:
    """What the process runs."""

    broker_port: int
    database: Path
    seconds_a_word: float = 0


class AgentProcess:
    """Starts the process. Used as an async context manager; ends by SIGKILL."""

    def __init__(self, plan: Plan) -> None:
        here, there = _processes.Pipe()
        self._process = _processes.Process(target=_main, args=(plan, there), daemon=True)
        self._process.start()
        there.close()
        self.http_port: int = here.recv()
        here.close()

    def resident_bytes(self) -> int:
        """Returns how much memory it holds."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.join)
        self._process.close()


def _main(plan: Plan, parent: Connection) -> None:
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    asyncio.run(_run(plan, parent))


async def _run(plan: Plan, parent: Connection) -> None:
    answerer = FakeAnswerer(plan.seconds_a_word)
    mqtt_settings = MqttSettings(port=plan.broker_port, reconnect_min_seconds=0.05)
    mqtt = MqttIntake(mqtt_settings, AGENT, Inbox(Database(plan.database)), answerer, _now, random.SystemRandom())
    http = HttpIntake(HttpSettings(port=0), answerer, "fake", dict, CollectorRegistry(), _now, random.SystemRandom())
    parent.send(http.bind())
    await asyncio.gather(mqtt.run(), http.run())


def _now() -> datetime:
    return datetime.now(UTC)
