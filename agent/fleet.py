"""The agent as a member of a fleet: its link to the hub, its session, its certificate, what it is told."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import grpc

from agent.commands import Commands
from agent.config import AgentSettings
from agent.connection import SessionParts
from agent.desired import Desired
from agent.doctor import examine
from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities
from agent.identity.files import IdentityFolder
from agent.identity.rotation import Rotation
from agent.known_hub import KnownHub
from agent.learning.membership import Membership
from agent.learning.taking_part import TakingPart
from agent.logs import Logs
from agent.parts import Parts
from agent.policies.in_force import PolicyInForce
from agent.recorder import Recorder
from agent.session import Session
from agent.store.answers import AnswerStore
from agent.store.commands import CommandEntry, CommandStore
from agent.store.database import Database
from agent.store.proofs import prove_drawn
from agent.telemetry import Metrics
from agent.update.rollout_worker import RolloutWorker
from contract.identity import agent_name
from seawall.hub.v1.agent_pb2 import AgentReport
from seawall.hub.v1.command_pb2 import Command

_USUAL_LOG_LINES = 200
_LONGEST_TROUBLE_CHARACTERS = 600

_CHANNEL_STATES = {
    grpc.ChannelConnectivity.READY: "connected",
    grpc.ChannelConnectivity.IDLE: "not asked yet",
    grpc.ChannelConnectivity.CONNECTING: "connecting",
    grpc.ChannelConnectivity.TRANSIENT_FAILURE: "unreachable",
    grpc.ChannelConnectivity.SHUTDOWN: "closed",
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """What an enrolled agent has besides."""

    link: HubLink
    session: Session
    rotation: Rotation
    commands: Commands
    desired: Desired
    worker: RolloutWorker
    recorder: Recorder
    taking_part: TakingPart

    @property
    def works(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What is to be run for as long as the agent runs."""
        worker = (self.worker.run, self.worker.write_counts)
        of_hub = (self.recorder.run, self.taking_part.run)
        return (self.session.run, self.rotation.run, self.commands.run, *of_hub, *worker)

    def measure(self, metrics: Metrics) -> None:
        """Has the gauges ask for what they show."""
        metrics.hub_connected.set_function(lambda: float(self.link.state is grpc.ChannelConnectivity.READY))
        metrics.generation.set_function(lambda: self.desired.generation)
        metrics.update_done.set_function(lambda: self.worker.releases.progress_bytes[0])
        metrics.update_total.set_function(lambda: self.worker.releases.progress_bytes[1])
        metrics.certificate_expiry.set_function(self._certificate_expiry)

    def _certificate_expiry(self) -> float:
        return self.link.identity.expire_time.timestamp()

    def health(self) -> dict[str, Any]:
        """Returns what status and /healthz show of it."""
        return {
            "hub": _CHANNEL_STATES[self.link.state],
            "session": self.session.state,
            "generation": self.desired.generation,
            "configuration_refusal": self.desired.refusal or "none",
            "configuration_trouble": self.desired.trouble or "none",
            "certificate_expire_time": self.link.identity.expire_time.isoformat(),
            "update": self.worker.releases.health(),
            "learning": self.taking_part.state,
            "certificate_trouble": self.rotation.trouble or "none",
            "record_trouble": self.recorder.trouble or "none",
        }


def build_fleet(
    link: HubLink,
    folder: IdentityFolder,
    parts: Parts,
    policy: PolicyInForce,
    desired: Desired,
    commands: Commands,
    worker: RolloutWorker,
    taking_part: TakingPart,
    known_hub: KnownHub,
    clock: Callable[[], datetime],
    randomness: random.Random,
) -> Fleet:
    """Puts the fleet's parts together.

    Args:
        link: to the hub.
        folder: of the identity.
        parts: of the pipeline, for what the agent says of itself.
        policy: in force, for the same.
        desired: loaded.
        commands: recovered.
        worker: does what rollouts want.
        taking_part: in rounds of learning.
        known_hub: told what the hub says of itself.
        clock: returns the time, UTC.
        randomness: for jitter.
    """
    told, membership = ToldAuthorities(), Membership(folder, lambda: link.identity, taking_part.is_enabled)
    parts_of_session = SessionParts(
        report=lambda: _report(parts, policy, membership),
        desired=desired,
        authorities=told,
        commands=commands,
        releases=worker.releases,
        randomness=randomness,
        heartbeat_answered=parts.metrics.heartbeat_answered,
        told_hub=known_hub.tell,
    )
    session = Session(link, parts_of_session, parts.metrics)
    rotation, recorder = Rotation(link, folder, clock, randomness, told), Recorder(parts.receipts, link, randomness)
    fleet = Fleet(link, session, rotation, commands, desired, worker, recorder, taking_part)
    fleet.measure(parts.metrics)
    return fleet


def _report(parts: Parts, policy: PolicyInForce, membership: Membership) -> AgentReport:
    bundle = parts.models.bundle
    return AgentReport(
        version=version("seawall"),
        model=f"models/{bundle.name}/versions/{bundle.version}",
        model_digest=bundle.digest(),
        policy_digest=policy.digest,
        policy=policy.chosen.name,
        policy_trouble=policy.trouble[:_LONGEST_TROUBLE_CHARACTERS],
        member_key=membership.claim(),
    )


def build_commands(
    settings: AgentSettings,
    agent_id: str,
    database: Database,
    logs: Logs,
    taking_part: TakingPart,
    clock: Callable[[], datetime],
    restart: Callable[[], None] | None,
) -> Commands:
    """Returns the commands that this agent knows.

    Args:
        settings: for the doctor.
        agent_id: as in `agents/{agent}`.
        database: the store.
        logs: of this process.
        taking_part: in rounds of learning.
        clock: returns the time, UTC.
        restart: ends this process so that it is started again; None: nobody would.
    """

    async def run_doctor(_: CommandEntry) -> str:
        findings = await asyncio.to_thread(lambda: list(examine(settings, clock())))
        return "\n".join(f"{'ok' if finding.ok else 'WRONG'} {finding.name}: {finding.detail}" for finding in findings)

    async def fetch_logs(entry: CommandEntry) -> str:
        return "\n".join(logs.latest(entry.log_lines if entry.log_lines > 0 else _USUAL_LOG_LINES))

    async def forget_answers(_: CommandEntry) -> str:
        count = await AnswerStore(database, settings.keep.answers, settings.keep.answer_seconds).forget()
        return f"{count} answers forgotten"

    async def prove_receipts(entry: CommandEntry) -> str:
        return await database.run(lambda tables: prove_drawn(tables, entry.name, entry.log_lines))

    actions = {
        Command.RUN_DOCTOR: run_doctor,
        Command.FETCH_LOGS: fetch_logs,
        Command.FORGET_ANSWERS: forget_answers,
        Command.PROVE_RECEIPTS: prove_receipts,
        Command.TAKE_PART: taking_part.take,
    }
    return Commands(CommandStore(database), agent_name(agent_id), {int(number): action for number, action in actions.items()}, restart)
