"""What agents say of the versions that they were told of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from contract.identity import agent_name
from hub.clock import Clock
from hub.fleet.events import Journal
from hub.release.engine import advance
from hub.store import replicas, rollout_agents, rollouts
from hub.store.events import NewEvent
from hub.store.rollout_agents import RolloutAgentRecord
from hub.store.rollout_states import FAILURES, TAKE
from hub.store.signals import Topic, signal
from seawall.hub.v1 import rollout_pb2

MAX_DETAIL_CHARACTERS = 1000
MAX_NAME_CHARACTERS = 64
MAX_FIGURES = 32

REPORTED = "RELEASE_REPORTED"

_NOBODY: frozenset[str] = frozenset()


class ReleaseReports:
    """Keeps what agents say.

    Args:
        journal: told of it; with it goes the database.
        replica_id: of this process of the hub.
        clock: the time, in UTC.
    """

    def __init__(self, journal: Journal, replica_id: str, clock: Clock) -> None:
        self._journal = journal
        self._replica_id = replica_id
        self._clock = clock

    async def keep(self, agent_id: str, report: rollout_pb2.ReleaseReport) -> None:
        """Keeps a report, cut to what has room.

        One of a rollout that this agent was not told of means nothing, nor does an unknown state, nor one that comes late over a session
        that the agent has left: it has said more in its new one.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the database is away.
        """
        if report.state in rollout_pb2.ReleaseReport.State.values() and report.state != rollout_pb2.ReleaseReport.STATE_UNSPECIFIED:
            await self._journal.write(partial(_keep, agent_id, self._replica_id, bounded(report), self._clock()))


def bounded(report: rollout_pb2.ReleaseReport) -> rollout_pb2.ReleaseReport:
    """Returns a report with no more in it than is kept: numbers that can be counted with, and texts that have an end."""
    result = rollout_pb2.ReleaseReport(
        rollout=report.rollout[: MAX_NAME_CHARACTERS + len("rollouts/")],
        model_version=report.model_version[:160],
        state=report.state,
        detail=report.detail[:MAX_DETAIL_CHARACTERS],
        failed_figure=report.failed_figure[:MAX_NAME_CHARACTERS],
        figures=_numbers(report.figures),
        limits=_numbers(report.limits),
        total_bytes=max(0, report.total_bytes),
    )
    result.done_bytes = min(max(0, report.done_bytes), result.total_bytes)
    return result


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    kept = [(name, value) for name, value in sorted(values.items()) if math.isfinite(value) and len(name) <= MAX_NAME_CHARACTERS]
    return dict(kept[:MAX_FIGURES])


def _keep(
    agent_id: str, replica_id: str, report: rollout_pb2.ReleaseReport, now: datetime, connection: Connection
) -> tuple[None, Sequence[NewEvent]]:
    before = rollout_agents.get(connection, report.rollout.removeprefix("rollouts/"), agent_id)
    if before is None or not replicas.held(connection, replica_id, [agent_id]):
        return None, []
    after = _reported(before, report, now)
    if replace(after, report_time=before.report_time) == before:
        return None, []  # said before
    rollout_agents.keep_report(connection, after)
    if after.state == before.state:
        return None, []
    signal(connection, Topic.ROLLOUTS)
    return None, [_event(after, report, now), *_stopped(connection, before, after, now)]


def _reported(before: RolloutAgentRecord, report: rollout_pb2.ReleaseReport, now: datetime) -> RolloutAgentRecord:
    state = rollout_pb2.ReleaseReport.State.Name(report.state)
    return replace(
        before,
        reach_time=before.reach_time or now,
        state=state,
        failed=before.failed or (before.action == TAKE and state in FAILURES),
        report=report.SerializeToString(deterministic=True),
        report_time=now,
    )


def _stopped(connection: Connection, before: RolloutAgentRecord, after: RolloutAgentRecord, now: datetime) -> list[NewEvent]:
    """A failure counts at once: nobody may be told to take the version between it and the engine's next look."""
    record = rollouts.get(connection, after.rollout_id)
    if record is None or before.failed or not after.failed:
        return []
    return advance(connection, record, now, _NOBODY)


def _event(record: RolloutAgentRecord, report: rollout_pb2.ReleaseReport, now: datetime) -> NewEvent:
    figure = f", {report.failed_figure}" if report.failed_figure else ""
    detail = f": {report.detail}" if report.detail else ""
    return NewEvent(now, REPORTED, agent_name(record.agent_id), detail=f"rollouts/{record.rollout_id} {record.state}{figure}{detail}")
