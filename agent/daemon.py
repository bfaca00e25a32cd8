"""The composition root: builds every part of the agent, runs them together, ends them in order."""

import asyncio
import random
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.classify import Classifier
from agent.config import AgentSettings
from agent.desired import Desired
from agent.detection.memory import Memory, memory_key
from agent.detection.opening import open_detector
from agent.escalation import Escalator, HubEscalator, NoHub
from agent.fleet import Fleet, build_commands, build_fleet
from agent.hub_link import HubLink
from agent.inference.current import CurrentModel
from agent.inference.engine import Engine
from agent.inference.fit import fits_beside
from agent.inference.loading import load_bundle
from agent.inference.machine import free_memory_bytes
from agent.inference.settings import EngineSettings
from agent.intake.http import HttpIntake
from agent.intake.mqtt import MqttIntake
from agent.logs import Logs
from agent.narrowing import OwnLimits
from agent.pipeline import Parts, Pipeline
from agent.prompts import Answerer
from agent.service import notify, supervised, watchdog
from agent.state import StateFolder
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.desired import DesiredStore
from agent.store.inbox import Inbox
from agent.telemetry import Metrics
from agent.tracing import TracedAnswerer, TracedModels, open_tracing
from agent.update.slots import Slots
from agent.update.starting import open_model
from contract.errors import InvalidRequest
from contract.policy import Policy
from contract.recognizers import SiteRecognizers
from contract.tracing import Tracing

_log = structlog.get_logger(__name__)

RESTART_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: the process ends so that systemd starts it again."""


async def run_agent(settings: AgentSettings, logs: Logs) -> int:
    """Runs the agent until SIGTERM or SIGINT, or until the hub tells it to restart. Returns the exit status.

    Args:
        settings: of the agent.
        logs: of this process.

    Raises:
        SeawallError: something that it cannot do without is missing or wrong; the message says what to do.
    """
    stopping, restarting = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    def restart() -> None:
        restarting.set()
        stopping.set()

    async with open_agent(settings, logs, restart if supervised() else None) as agent, asyncio.TaskGroup() as group:
        tasks = [group.create_task(run()) for run in (*agent.works, watchdog)]
        notify("READY=1")
        _log.info("ready", agent=agent.agent_id, http=f"http://{settings.http.host}:{agent.http.port}", state=str(settings.state_folder))
        await stopping.wait()
        notify("STOPPING=1")
        _log.info("stopping", restart=restarting.is_set())
        for task in tasks:
            task.cancel()
    return RESTART_STATUS if restarting.is_set() else 0


class Agent:
    """The parts that run, and what is said of their health."""

    def __init__(self, parts: Parts, fleet: Fleet | None, slot: str, problems: Callable[[], Sequence[str]]) -> None:
        self.agent_id = parts.agent_id
        self.mqtt: MqttIntake
        self.http: HttpIntake
        self._parts = parts
        self._fleet = fleet
        self._slot = slot
        self._problems = problems

    @property
    def works(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What is to be run, side by side."""
        return (self.mqtt.run, self.http.run, *(self._fleet.works if self._fleet is not None else ()))

    def health(self) -> dict[str, Any]:
        """Returns what `seawall-agent status` and /healthz show."""
        return {
            "ok": True,
            "agent": self.agent_id,
            "model": self._parts.models.bundle.name,
            "model_version": self._parts.models.bundle.version,
            "model_slot": self._slot or "none, the configuration's bundle",
            "model_digest": self._parts.models.bundle.digest(),
            "model_trouble": " ".join(filter(None, self._problems())) or "none",
            "detector": self._parts.classifier.problem or "loaded",
            "policy_digest": self._parts.policy.digest,
            "mqtt": "connected" if self.mqtt.connected else "unreachable",
            **(self._fleet.health() if self._fleet is not None else {"hub": "not enrolled"}),
        }


@asynccontextmanager
async def open_agent(settings: AgentSettings, logs: Logs, restart: Callable[[], None] | None) -> AsyncGenerator[Agent, None]:
    """Builds the agent's parts, and closes them at the end.

    Args:
        settings: of the agent.
        logs: of this process.
        restart: ends this process so that it is started again; None: nobody would.
    """
    state = StateFolder(settings.state_folder)
    state.lock()
    link = HubLink(state.identity.read()) if state.identity.enrolled else None
    policy = load_policy(settings)
    tracing = open_tracing(settings.telemetry, link.identity.agent_id if link is not None else settings.agent_id)
    models = _models(settings.model.engine(settings.trust.held_tokens))
    slots = Slots(state.slots)
    problems = await open_model(models, slots, settings.model.bundle)
    database = Database(state.database)
    classifier = _classifier(settings, state.data_key())
    try:
        desired = Desired(DesiredStore(database), _own_limits(settings), logs.set_level)
        parts = _parts(settings, link, policy, models, database, desired, classifier, state.data_key(), tracing)
        fleet = None
        if link is not None:
            await desired.load()
            commands = build_commands(settings, parts.agent_id, database, logs, utc_now, restart)
            await commands.recover()
            fleet = build_fleet(link, state.identity, parts, desired, commands, utc_now, random.SystemRandom())
        yield _agent(settings, parts, fleet, slots.record.current, Inbox(database), lambda: (*problems, models.away))
    finally:
        if link is not None:
            await link.close()
        await models.close()
        classifier.close()
        database.close()
        await asyncio.to_thread(tracing.close)


def utc_now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


def load_policy(settings: AgentSettings) -> Policy:
    """Returns the policy in force; one that cannot be used denies everything, and the agent goes on answering by itself."""
    try:
        return Policy(settings.policy_text())
    except InvalidRequest as error:
        _log.error("the policy cannot be used: nothing is cached and nothing leaves", reason=error.message)
        return Policy("")


def _classifier(settings: AgentSettings, data_key: bytes) -> Classifier:
    detector = open_detector(settings.privacy.phone_regions, SiteRecognizers())
    if detector.problem:
        _log.error("the detector cannot be used", reason=detector.problem)
    return Classifier(detector, Memory(memory_key(data_key)), settings.privacy.floor)


def _models(settings: EngineSettings) -> CurrentModel:
    def fits(folder: Path) -> bool:
        return fits_beside(settings, load_bundle(folder, verify=False), free_memory_bytes())

    return CurrentModel(lambda folder: Engine(folder, settings), fits)


def _own_limits(settings: AgentSettings) -> OwnLimits:
    model = settings.model
    return OwnLimits(settings.privacy.floor, settings.trust.bar, model.context_tokens, model.max_tokens)


def _parts(
    settings: AgentSettings,
    link: HubLink | None,
    policy: Policy,
    models: CurrentModel,
    database: Database,
    desired: Desired,
    classifier: Classifier,
    data_key: bytes,
    tracing: Tracing,
) -> Parts:
    keep = settings.keep
    scope = (policy.digest,)
    escalator: Escalator = NoHub()
    if link is not None:
        escalator = HubEscalator(link, settings.hub.connect_seconds, settings.hub.timeout_seconds, tracing)
    return Parts(
        agent_id=link.identity.agent_id if link is not None else settings.agent_id,
        classifier=classifier,
        policy=policy,
        cache=ExactCache(AnswerStore(database, keep.answers, keep.answer_seconds), data_key, scope),
        models=TracedModels(models, tracing) if tracing.is_on else models,
        confidence=settings.trust.confidence(),
        escalator=escalator,
        conversations=ConversationStore(database, keep.conversation_seconds),
        receipts=ReceiptStore(database, keep.receipt_seconds),
        metrics=Metrics(CollectorRegistry()),
        narrowing=lambda: desired.narrowing,
        tracing=tracing,
    )


def _agent(
    settings: AgentSettings, parts: Parts, fleet: Fleet | None, slot: str, inbox: Inbox, problems: Callable[[], Sequence[str]]
) -> Agent:
    pipeline: Answerer = Pipeline(parts, utc_now)
    if parts.tracing.is_on:
        pipeline = TracedAnswerer(pipeline, parts.tracing)
    model_name = parts.models.bundle.name
    agent = Agent(parts, fleet, slot, problems)
    agent.mqtt = MqttIntake(settings.mqtt, parts.agent_id, inbox, pipeline, utc_now, random.SystemRandom(), parts.metrics.refused)
    agent.http = HttpIntake(settings.http, pipeline, model_name, agent.health, parts.metrics.registry, utc_now, random.SystemRandom())
    agent.http.bind()
    parts.metrics.describe(version("seawall"), model_name, lambda: agent.mqtt.connected)
    return agent
