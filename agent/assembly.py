"""How the agent's parts are built on what was opened. Nothing here runs; agent/daemon.py does that."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache as once
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.cache.semantic import SemanticCache
from agent.classify import Classifier
from agent.config import AgentSettings
from agent.desired import Desired
from agent.detection.memory import Memory, memory_key
from agent.detection.opening import Detector, open_detector
from agent.detection.secrets import has_key
from agent.detection.tagger import Tagger
from agent.embedding.embedder import Embedder
from agent.embedding.opening import Opened, open_embedder
from agent.escalation import HubEscalator, NoHub
from agent.fleet import Fleet, build_commands, build_fleet
from agent.hub_link import HubLink
from agent.inference.current import CurrentModel
from agent.inference.engine import Engine
from agent.inference.fit import fits_beside
from agent.inference.loading import load_bundle
from agent.inference.machine import free_memory_bytes
from agent.known_hub import KnownHub
from agent.later.promises import Promises
from agent.later.prompts import LateAnswerer
from agent.later.worker import LateWorker, Recipients
from agent.learning.opening import limits_of, open_participation
from agent.learning.participation import Participation
from agent.learning.taking_part import TakingPart
from agent.logs import Logs
from agent.narrowing import OwnLimits
from agent.output_rules import build_rules
from agent.parts import Parts
from agent.policies.in_force import Chosen, PolicyInForce
from agent.redacting import Redactor
from agent.releases import Releases
from agent.state import StateFolder
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import TOUCH_SECONDS, ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.heads import HeadStore
from agent.store.live import LiveStore
from agent.store.outbox import Outbox
from agent.store.retention import Ages
from agent.store.rollouts import RolloutStore
from agent.store.sealing import derive
from agent.store.vault import Vault
from agent.telemetry import Metrics
from agent.tracing import TracedModels
from agent.update.checks import Checks
from agent.update.deployment import Bring, Deployment, Places, Tell
from agent.update.health_gate import HealthGate
from agent.update.opening import UpdateSite, open_source, open_updater
from agent.update.rollout_worker import RolloutWorker
from agent.update.slots import Slots, Started
from agent.witness import HeadKeeper
from contract.classification import DataClass
from contract.release import Index
from contract.surroundings import Hub, Surroundings, stepped
from contract.tracing import Tracing

_log = structlog.get_logger(__name__)

MOST_LATE = 1000
"""So many prompts wait for a better answer at most; the answers behind them stay as they are."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the parts stand on, open.

    Args:
        settings: of the agent.
        state: its folder, locked.
        link: to the hub; None: this device is not enrolled.
        known_hub: what the hub has said of itself; None: as above.
        policy: in force.
        models: the model that answers.
        slots: where versions of it lie.
        database: the store.
        data_key: of this device.
        classifier: of prompts.
        tracing: told of each step.
    """

    settings: AgentSettings
    state: StateFolder
    link: HubLink | None
    known_hub: KnownHub | None
    policy: PolicyInForce
    models: CurrentModel
    slots: Slots
    database: Database
    data_key: bytes
    classifier: Classifier
    tracing: Tracing

    @property
    def agent_id(self) -> str:
        """The device's name: as it was enrolled, else as its configuration says."""
        return self.link.identity.agent_id if self.link is not None else self.settings.agent_id


def utc_now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


def surroundings_of(settings: AgentSettings, hub: Hub | None, budget_tokens: int | None = None) -> Surroundings:
    """Returns what is known around any prompt of this device."""
    budget = None if budget_tokens is None else stepped(budget_tokens)
    return Surroundings(settings.site.name, settings.site.region, hub=hub, can_redact=True, budget_tokens=budget)


def build_models(settings: AgentSettings) -> CurrentModel:
    """Returns what will hold the model; it holds none yet."""
    engine = settings.model.engine(settings.trust.held_tokens)

    def fits(folder: Path) -> bool:
        return fits_beside(engine, load_bundle(folder, verify=False), free_memory_bytes())

    return CurrentModel(lambda folder: Engine(folder, engine), fits)


def build_classifier(settings: AgentSettings, data_key: bytes, policy: PolicyInForce) -> Classifier:
    """Returns what classifies prompts, with its detector loaded; where that cannot be, every prompt is restricted.

    Args:
        settings: of the agent.
        data_key: of this device.
        policy: in force; a signed one may bring a site's own recognizers.
    """

    def detector(chosen: Chosen) -> Detector:
        opened = open_detector(settings.privacy.phone_regions, chosen.recognizers, tagger)
        if opened.problem:
            _log.error("the detector cannot be used", reason=opened.problem)
        return opened

    tagger = once(Tagger)
    classifier = Classifier(detector(policy.chosen), Memory(memory_key(data_key)), settings.privacy.floor)
    policy.changed = lambda chosen: classifier.use(detector(chosen))
    return classifier


def build_embedder(settings: AgentSettings, load: Callable[[], Embedder] = Embedder) -> Opened:
    """Returns the embedder, where questions are compared and it can be loaded."""
    opened = open_embedder(load) if settings.cache.similar else Opened(None)
    if opened.problem:
        _log.error("questions are not compared", reason=opened.problem)
    return opened


def own_limits(settings: AgentSettings) -> OwnLimits:
    """Returns what the hub may narrow, as the configuration has it."""
    model = settings.model
    return OwnLimits(settings.privacy.floor, settings.trust.most_bar, model.context_tokens, model.max_tokens)


def ages(settings: AgentSettings) -> Ages:
    """Returns how long what is sealed is kept."""
    keep = settings.keep
    turns = keep.conversation_seconds
    return Ages(answers=keep.answer_seconds, turns=turns, vault=turns, classes=turns + TOUCH_SECONDS)


def build_parts(ground: Ground, desired: Desired, embedder: Embedder | None) -> Parts:
    """Returns what the steps of a prompt's path are done with.

    Args:
        ground: open.
        desired: what the hub has narrowed.
        embedder: of questions; None: they are not compared.
    """
    settings, database, policy, tracing = ground.settings, ground.database, ground.policy, ground.tracing
    keep, known, escalator = settings.keep, ground.known_hub, _escalator(ground)
    answers, metrics = AnswerStore(database, keep.answers, keep.answer_seconds), Metrics(CollectorRegistry())
    cache = ExactCache(answers, derive(ground.data_key, "digests of the cache"), (), lambda: policy.digest)
    return Parts(
        agent_id=ground.agent_id,
        classifier=ground.classifier,
        policy=policy,
        cache=cache,
        models=TracedModels(ground.models, tracing) if tracing.is_on else ground.models,
        confidence=settings.trust.confidence(),
        escalator=escalator,
        redactor=Redactor(Vault(database, keep.conversation_seconds)),
        rules=build_rules(has_key, settings.privacy.denied_phrases),
        floors=lambda prompt: (settings.privacy.client_floors.get(prompt.client, DataClass.PUBLIC),),
        conversations=ConversationStore(database, keep.conversation_seconds),
        classes=ClassStore(database, keep.conversation_seconds),
        receipts=ReceiptStore(database, keep.receipt_seconds),
        metrics=metrics,
        narrowing=lambda: desired.narrowing,
        surroundings=lambda: surroundings_of(settings, known.hub if known is not None else None, escalator.budget_tokens()),
        tracing=tracing,
        calibrations=lambda: policy.chosen.calibrations,
        similar=None if embedder is None else _similar(ground, cache, answers, embedder, metrics),
        promises=_promises(ground),
    )


def _similar(ground: Ground, cache: ExactCache, answers: AnswerStore, embedder: Embedder, metrics: Metrics) -> SemanticCache:
    settings, policy = ground.settings.cache.similarity(), ground.policy

    def bar() -> float:
        return settings.bar_for(f"sha256:{embedder.digest}", policy.chosen.calibrations)

    return SemanticCache(cache, answers, embedder, bar, metrics.similar_refused)


def _promises(ground: Ground) -> Promises | None:
    seconds = ground.settings.hub.follow_up_seconds
    return Promises(Outbox(ground.database, MOST_LATE), seconds) if ground.link is not None and seconds else None


def build_participation(ground: Ground, link: HubLink, parts: Parts) -> Participation:
    """Returns what answers rounds of sums over the fleet, by whatever carries them."""

    def model() -> str:
        return ground.models.bundle.digest()

    around = parts.surroundings
    return open_participation(ground.settings, ground.state, ground.database, link, ground.policy, around, model, utc_now)


def build_head_keeper(ground: Ground, parts: Parts) -> HeadKeeper:
    """Returns what signs the log of receipts, and has the hub witness it."""
    heads = HeadStore(ground.database, ground.settings.keep.receipt_seconds)
    return HeadKeeper(heads, parts.receipts, ground.agent_id, ground.link, utc_now, random.SystemRandom())


def build_late_worker(parts: Parts, answerer: LateAnswerer, recipients: Recipients) -> LateWorker | None:
    """Returns what gets better answers later; None: none is promised."""
    if parts.promises is None:
        return None
    return LateWorker(parts.promises.outbox, answerer, recipients, parts.metrics, utc_now, random.SystemRandom())


async def open_fleet(
    ground: Ground, parts: Parts, desired: Desired, live: LiveStore, logs: Logs, restart: Callable[[], None] | None
) -> Fleet | None:
    """Returns what an enrolled agent has besides, with all that was kept of it loaded; None: this one is not enrolled.

    Args:
        ground: open.
        parts: of the pipeline.
        desired: not loaded yet.
        live: what live traffic came to.
        logs: of this process.
        restart: ends this process so that it is started again; None: nobody would.
    """
    if ground.link is None or ground.known_hub is None:
        return None
    await desired.load()
    link = ground.link
    participation = build_participation(ground, link, parts)
    settings, policy = ground.settings, ground.policy

    def may_take_part() -> bool:
        return limits_of(settings, policy.chosen).enabled

    taking_part = TakingPart(may_take_part, lambda: link.identity.hub_address, lambda: participation.answer)
    commands = build_commands(ground.settings, parts.agent_id, ground.database, logs, taking_part, utc_now, restart)
    await commands.recover()
    releases = Releases(RolloutStore(ground.database), parts.metrics.rollout_came_to)
    deployment = Deployment(Places(ground.slots, ground.models, ground.settings.model.bundle, _bringing(ground, ground.link)))
    checks = Checks(ground.models, HealthGate(), parts.traffic, random.SystemRandom())
    worker = RolloutWorker(releases, deployment, checks, parts.traffic, live, random.SystemRandom())
    folder, randomness = ground.state.identity, random.SystemRandom()
    return build_fleet(link, folder, parts, ground.policy, desired, commands, worker, taking_part, ground.known_hub, utc_now, randomness)


def _escalator(ground: Ground) -> HubEscalator | NoHub:
    hub = ground.settings.hub
    return NoHub() if ground.link is None else HubEscalator(ground.link, hub.connect_seconds, hub.timeout_seconds, ground.tracing)


def _bringing(ground: Ground, link: HubLink) -> Bring:
    """Returns what brings a version here, over the agent's own link where it comes from the hub."""
    settings, models = ground.settings, ground.models

    async def bring(started: Started, model: str, version: str, tell: Tell) -> tuple[Index, bool]:
        site = UpdateSite(ground.state.update, link.identity, settings.update, settings.model.bundle, settings.update.pace())
        async with open_source(settings.update.source, link.identity, link) as source:
            updater = await open_updater(source, site, ground.slots, started, lambda: None if models.away else models.bundle.digest())
            return await updater.bring(source, model, version, tell)

    return bring
