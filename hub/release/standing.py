"""Rollouts as the store has them, and as the rules see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection

from contract.identity import agent_name
from hub.release.gates import Learned
from hub.release.learned import learned
from hub.release.plan import Plan, read_plan
from hub.release.rules import Standing, Told, WaveTimes
from hub.store import rollout_agents
from hub.store.rollout_agents import RolloutAgentRecord
from hub.store.rollout_states import FAILURES, PROVEN, UNFINISHED
from hub.store.rollouts import RolloutRecord
from seawall.hub.v1 import rollout_pb2

MAX_DETAIL_CHARACTERS = 200
"""Of an agent's own words in a rollout's reason."""


def plan_of(record: RolloutRecord) -> Plan:
    """Returns what was wanted."""
    return read_plan(record.rollout_id, record.wanted)


def standing_of(record: RolloutRecord) -> Standing:
    """Returns where a rollout stands."""
    times = tuple(WaveTimes(*(None if text is None else datetime.fromisoformat(text) for text in wave)) for wave in record.times)
    return Standing(record.state, times, record.reason, record.mover, record.current_wave, record.approved_wave, record.forgiven_wave)


def moved(record: RolloutRecord, after: Standing, now: datetime) -> RolloutRecord:
    """Returns a rollout that stands elsewhere."""
    return replace(
        record,
        state=after.state,
        times=tuple((_written(wave.begin), _written(wave.settle), _written(wave.end)) for wave in after.times),
        reason=after.reason,
        mover=after.mover,
        current_wave=after.current_wave,
        approved_wave=after.approved_wave,
        forgiven_wave=after.forgiven_wave,
        update_time=now,
        end_time=None if after.state in UNFINISHED else record.end_time or now,
        revision=record.revision + 1,
    )


@dataclass(frozen=True)
class StoredFacts:
    """What the store knows of a rollout's agents, asked once for what is asked for.

    Args:
        connection: of the transaction.
        record: the rollout.
        now: the time, in UTC.
    """

    connection: Connection
    record: RolloutRecord
    now: datetime

    @cached_property
    def _told(self) -> list[Told]:
        return [Told(*row) for row in rollout_agents.alike(self.connection, self.record.rollout_id, self._late_before)]

    @property
    def _late_before(self) -> list[datetime]:
        return [self.now - wave.patience for wave in plan_of(self.record).waves]

    def told(self) -> Sequence[Told]:
        """See Facts."""
        return self._told

    def members(self) -> Sequence[int]:
        """See Facts."""
        return members(self.connection, self.record)

    def failure(self, wave: int) -> str:
        """See Facts."""
        return _words(rollout_agents.example(self.connection, self.record.rollout_id, wave, failed=True))

    def stuck(self, wave: int) -> str:
        """See Facts."""
        return _words(
            rollout_agents.example(
                self.connection,
                self.record.rollout_id,
                wave,
                failed=False,
                late_before=self._late_before[wave],
                ended=(PROVEN, *FAILURES),
            )
        )

    def figures(self, wave: int) -> Sequence[Mapping[str, float]]:
        """See Facts."""
        found = rollout_agents.reports(self.connection, self.record.rollout_id, wave, PROVEN)
        return [dict(rollout_pb2.ReleaseReport.FromString(report).figures) for report in found]

    def learned(self, wave: int) -> Learned | str:
        """See Facts."""
        begin = standing_of(self.record).times[wave].begin
        return learned(self.connection, plan_of(self.record).model_version, begin or self.now)


def members(connection: Connection, record: RolloutRecord) -> tuple[int, ...]:
    """Counts the active agents of each wave, chosen or not, by looking at each that is not."""
    plan = plan_of(record)
    result = [0 for _ in plan.waves]
    for wave, count in rollout_agents.counting(connection, record.rollout_id):
        result[wave] += count
    for agent in rollout_agents.free(connection, record.rollout_id, record.number or 0, None):
        wave_of_agent = plan.wave_of(agent.agent_id, agent.labels)
        if wave_of_agent is not None:
            result[wave_of_agent] += 1
    return tuple(result)


def _words(record: RolloutAgentRecord | None) -> str:
    """One agent as an example: the figure that was beyond its limit, or else what the agent said."""
    if record is None:
        return ""
    report = rollout_pb2.ReleaseReport.FromString(record.report or b"")
    name, figure = agent_name(record.agent_id), report.failed_figure
    if figure and figure in report.figures:
        limit = f", limit {report.limits[figure]:.4g}" if figure in report.limits else ""
        return f"Such as {name}, {record.state}: {figure} {report.figures[figure]:.4g}{limit}."
    said = f": {report.detail[:MAX_DETAIL_CHARACTERS]}" if report.detail else ""
    return f"Such as {name}, {record.state or 'not heard of'}{said}."


def _written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
