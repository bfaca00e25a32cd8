"""The composition root: opens what the agent stands on, has its parts built, runs them together, ends them in order."""

import asyncio
import random
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import structlog

from agent.assembly import (
    Ground,
    ages,
    build_classifier,
    build_embedder,
    build_head_keeper,
    build_late_worker,
    build_models,
    build_parts,
    open_fleet,
    own_limits,
    utc_now,
)
from agent.config import AgentSettings
from agent.desired import Desired
from agent.fleet import Fleet
from agent.hub_link import HubLink
from agent.intake.http import HttpIntake
from agent.intake.mqtt import MqttIntake
from agent.known_hub import KnownHub
from agent.later.worker import LateWorker
from agent.logs import Logs
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.policies.following import Following
from agent.policies.in_force import PolicyInForce, choose
from agent.policies.opening import kept_policy, take_policy
from agent.prompts import Answerer
from agent.service import forbid_dumps, notify, supervised, watchdog
from agent.state import StateFolder
from agent.store.database import Database
from agent.store.desired import DesiredStore
from agent.store.inbox import Inbox
from agent.store.live import LiveStore
from agent.store.retention import Retention
from agent.store.rollouts import RolloutStore
from agent.tracing import TracedAnswerer, open_tracing
from agent.update.crash_loop import before_start, stopped_in_order
from agent.update.slots import Slots
from agent.update.starting import open_model
from agent.witness import HeadKeeper
from contract.errors import SeawallError

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
    forbid_dumps()
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


@dataclass(slots=True)
class Agent:
    """The parts that run, and what is said of their health.

    Args:
        parts: of the pipeline.
        policy: in force.
        retention: of what is sealed.
        heads: of the log of receipts.
        slot: returns the name of the slot that serves; empty: none does.
        problems: returns what is wrong with the model, in sentences.
        embedder_problem: why questions are not compared though they are to be; empty: nothing is wrong.
        fleet: what an enrolled agent has besides.
        following: takes newer policies, where the configuration names one.
    """

    parts: Parts
    policy: PolicyInForce
    retention: Retention
    heads: HeadKeeper
    slot: Callable[[], str]
    problems: Callable[[], Sequence[str]]
    embedder_problem: str
    fleet: Fleet | None
    following: Following | None
    mqtt: MqttIntake = field(init=False)
    http: HttpIntake = field(init=False)
    late: LateWorker | None = field(init=False, default=None)

    @property
    def agent_id(self) -> str:
        """The device's name."""
        return self.parts.agent_id

    @property
    def works(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What is to be run, side by side."""
        following = (self.following.run,) if self.following is not None else ()
        fleet = self.fleet.works if self.fleet is not None else ()
        late = (self.late.run,) if self.late is not None else ()
        similar = (self.parts.similar.run,) if self.parts.similar is not None else ()
        sketching = (self.parts.sketching.run,) if self.parts.sketching is not None else ()
        own = (self.mqtt.run, self.http.run, self.retention.run, self.heads.run)
        return (*own, *late, *similar, *sketching, *following, *fleet)

    def _similar_answers(self) -> str:
        similar = self.parts.similar
        return self.embedder_problem or ("off" if similar is None else f"on, {len(similar)} questions are compared")

    def health(self) -> dict[str, Any]:
        """Returns what `seawall-agent status` and /healthz show."""
        bundle = self.parts.models.bundle
        return {
            "ok": True,
            "agent": self.agent_id,
            "model": bundle.name,
            "model_version": bundle.version,
            "model_slot": self.slot() or "none, the configuration's bundle",
            "model_digest": bundle.digest(),
            "model_trouble": " ".join(filter(None, self.problems())) or "none",
            "similar_answers": self._similar_answers(),
            "detector": self.parts.classifier.problem or "loaded",
            "store_trouble": self.retention.trouble or "none",
            "policy_digest": self.policy.digest,
            "policy": self.policy.chosen.name or self.policy.chosen.origin,
            "policy_trouble": self.policy.trouble or "none",
            "receipt_log": self.heads.state,
            "better_answers": self.late.state if self.late is not None else "none is promised",
            "mqtt": "connected" if self.mqtt.connected else "unreachable",
            **(self.fleet.health() if self.fleet is not None else {"hub": "not enrolled"}),
        }


@asynccontextmanager
async def open_agent(settings: AgentSettings, logs: Logs, restart: Callable[[], None] | None) -> AsyncGenerator[Agent, None]:
    """Builds the agent's parts, and closes them at the end.

    Args:
        settings: of the agent.
        logs: of this process.
        restart: ends this process so that it is started again; None: nobody would.
    """
    async with _open_ground(settings) as ground:
        database, slots, models = ground.database, ground.slots, ground.models
        retention = Retention(database, ages(settings), utc_now)
        await retention.start()
        live = LiveStore(database, settings.keep.receipt_seconds)
        await before_start(slots, RolloutStore(database), live)
        problems = await open_model(models, slots, settings.model.bundle)
        desired = Desired(DesiredStore(database), own_limits(settings), logs.set_level)
        embedding = build_embedder(settings)
        parts = build_parts(ground, desired, embedding.embedder)
        agent = Agent(
            parts=parts,
            policy=ground.policy,
            retention=retention,
            heads=build_head_keeper(ground, parts),
            slot=lambda: slots.name_of(models.folder),
            problems=lambda: (*problems, models.away),
            embedder_problem=embedding.problem,
            fleet=await open_fleet(ground, parts, desired, live, logs, restart),
            following=_following(ground),
        )
        _open_intakes(settings, agent, Inbox(database), live)
        yield agent
        if parts.similar is not None:
            parts.similar.close()
        await stopped_in_order(RolloutStore(database))
        await _seal(agent.heads)


@asynccontextmanager
async def _open_ground(settings: AgentSettings) -> AsyncGenerator[Ground, None]:
    state = StateFolder(settings.state_folder)
    state.lock()
    link = HubLink(state.identity.read()) if state.identity.enrolled else None
    kept = kept_policy(state)
    data_key = state.data_key(settings.data_key_file)
    policy = PolicyInForce(lambda: choose(settings, kept))
    ground = Ground(
        settings=settings,
        state=state,
        link=link,
        known_hub=KnownHub(state.known_hub, link.identity) if link is not None else None,
        policy=policy,
        models=build_models(settings),
        slots=Slots(state.slots),
        database=Database(state.database, data_key),
        data_key=data_key,
        classifier=build_classifier(settings, data_key, policy),
        tracing=open_tracing(settings.telemetry, link.identity.agent_id if link is not None else settings.agent_id),
    )
    try:
        yield ground
    finally:
        if link is not None:
            await link.close()
        await ground.models.close()
        ground.classifier.close()
        ground.database.close()
        await asyncio.to_thread(ground.tracing.close)


async def _seal(heads: HeadKeeper) -> None:
    """Signs the log a last time; what cannot be signed now is at the next start."""
    try:
        await heads.seal()
    except SeawallError as error:
        _log.warning("the log of receipts is not signed", reason=error.reason, advice=error.message)


def _following(ground: Ground) -> Following | None:
    if ground.link is None or not ground.settings.privacy.signed_policy:
        return None
    kept, randomness = kept_policy(ground.state), random.SystemRandom()
    return Following(ground.policy, kept, lambda: take_policy(ground.settings, ground.state), randomness.random)


def _open_intakes(settings: AgentSettings, agent: Agent, inbox: Inbox, live: LiveStore) -> None:
    async def give_feedback(client: str, prompt_id: str, is_good: bool) -> None:
        await live.give_feedback(client, prompt_id, is_good, utc_now().timestamp())

    parts = agent.parts
    pipeline = Pipeline(parts, utc_now)
    answerer: Answerer = TracedAnswerer(pipeline, parts.tracing) if parts.tracing.is_on else pipeline
    model_name, metrics, randomness = parts.models.bundle.name, parts.metrics, random.SystemRandom()
    agent.mqtt = MqttIntake(settings.mqtt, parts.agent_id, inbox, answerer, utc_now, randomness, metrics.refused, give_feedback)
    agent.http = HttpIntake(settings.http, answerer, model_name, agent.health, metrics.registry, utc_now, randomness, give_feedback)
    agent.http.bind()
    agent.late = build_late_worker(parts, pipeline, agent.mqtt.better_answers)
    metrics.describe(version("seawall"), model_name, lambda: agent.mqtt.connected)
