"""An agent's intakes, pipeline and link, a hub and a provider: everything between a client and the cloud but the model."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import httpx2
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.confidence import ConfidenceSettings
from agent.config import TelemetrySettings
from agent.escalation import HubEscalator
from agent.hub_link import HubLink
from agent.identity.files import Identity
from agent.intake.http import HttpIntake
from agent.intake.mqtt import MqttIntake
from agent.intake.settings import HttpSettings, MqttSettings
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.redacting import Redactor
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.inbox import Inbox
from agent.telemetry import Metrics
from agent.tracing import TracedAnswerer, TracedModels, open_tracing
from contract.policy import Policy
from contract.surroundings import Hub, Provider, Surroundings
from contract.tracing import Tracing
from hub.config import Listeners, ProviderSettings
from hub.config import TelemetrySettings as HubTelemetrySettings
from tests.fakes.classifier import classifier
from tests.fakes.engine import FakeEngine
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.provider_server import ProviderServer
from tests.fakes.vaults import MemoryVaults
from tests.integration.intake.device import AGENT

UNSURE = 0.1
HOUSE = Provider("house", "private", "here")
LISTENERS = Listeners(enrollment="127.0.0.1:0", mtls="127.0.0.1:0", metrics="127.0.0.1:0")


@dataclass(frozen=True)
class Site:
    """What runs."""

    http: HttpIntake
    hub: RunningHub
    metrics: Metrics

    async def ask(self, text: str, **headers: str) -> httpx2.Response:
        """Asks over HTTP."""
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.http.port}", trust_env=False, timeout=20) as client:
            body = {"model": "fake", "messages": [{"role": "user", "content": text}]}
            return await client.post("/v1/chat/completions", json=body, headers=headers)


@asynccontextmanager
async def running_site(folder: Path, provider: ProviderServer, endpoint: str, broker_port: int | None = None) -> AsyncIterator[Site]:
    """Runs one until the block ends.

    Args:
        folder: for all that is stored.
        provider: asked by the hub.
        endpoint: of the trace collector; empty: no traces.
        broker_port: None: no MQTT.
    """
    house = ProviderSettings(name="house", kind="openai", base_url=f"{provider.url}/v1", model="m", tier="private", region="here")
    telemetry = HubTelemetrySettings(otlp_endpoint=endpoint)
    async with running_hub(folder / "hub", [house], listeners=LISTENERS, telemetry=telemetry) as hub:
        link, database = HubLink(await _enrolled(hub)), Database(folder / "agent.db")
        tracing = open_tracing(TelemetrySettings(otlp_endpoint=endpoint), AGENT)
        parts = _parts(link, database, tracing)
        answerer = TracedAnswerer(Pipeline(parts), tracing) if tracing.is_on else Pipeline(parts)
        http = HttpIntake(HttpSettings(port=0, grace_seconds=0), answerer, "fake", dict, parts.metrics.registry, _now, random.Random(1))
        http.bind()
        works = [http.run()]
        if broker_port is not None:
            mqtt = MqttSettings(port=broker_port, reconnect_min_seconds=0.02, reconnect_max_seconds=0.05)
            intake = MqttIntake(mqtt, AGENT, Inbox(database), answerer, _now, random.Random(2), parts.metrics.refused)
            parts.metrics.describe("1", "fake", lambda: intake.connected)
            works.append(intake.run())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield Site(http, hub, parts.metrics)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await link.close()
            database.close()
            await asyncio.to_thread(tracing.close)


def _parts(link: HubLink, database: Database, tracing: Tracing) -> Parts:
    engine = FakeEngine(["a", " b", " c"], UNSURE)
    return Parts(
        agent_id=AGENT,
        classifier=classifier(),
        policy=Policy(resources.files("contract").joinpath("default.cedar").read_text()),
        cache=ExactCache(AnswerStore(database, 100, 3600), b"k" * 32, ["model", "policy"]),
        models=TracedModels(engine, tracing) if tracing.is_on else engine,
        confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
        escalator=HubEscalator(link, tracing=tracing),
        redactor=Redactor(MemoryVaults()),
        conversations=ConversationStore(database, 3600),
        classes=ClassStore(database, 3600),
        receipts=ReceiptStore(database, 3600),
        metrics=Metrics(CollectorRegistry()),
        tracing=tracing,
        surroundings=lambda: Surroundings(hub=Hub(link.identity.trust_domain, providers=(HOUSE,))),
    )


async def _enrolled(hub: RunningHub) -> Identity:
    pair = await hub.enroll(AGENT)
    return Identity(
        AGENT, hub.settings.trust_domain, hub.mtls_target, pair.key, pair.certificate, hub.ca_certificate, hub.enrollment_target
    )


def _now() -> datetime:
    return datetime.now(UTC)
