"""The fleet by numbers: a few grouped rows, however many agents there are."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, String, case, func, literal, select

from hub.store.commands import BEGUN, PENDING
from hub.store.tables import agents, commands, rollout_agents, rollouts

SILENCES = (("under_5m", timedelta(minutes=5)), ("under_1h", timedelta(hours=1)), ("under_1d", timedelta(days=1)))
"""How long an agent has not been heard of; the rest is `longer`."""

EXPIRIES = (("expired", timedelta(0)), ("under_1d", timedelta(days=1)), ("under_7d", timedelta(days=7)), ("under_30d", timedelta(days=30)))
"""How long an agent's certificate lives still; the rest is `longer`."""

LONGER = "longer"


@dataclass(frozen=True, slots=True)
class AgentCount:
    """So many agents that are alike."""

    state: str
    report: bytes | None
    silence: str
    expiry: str
    is_applied: bool
    count: int


@dataclass(frozen=True, slots=True)
class Census:
    """The fleet at one time.

    Args:
        agents: by all that they are counted by.
        commands: that have not ended, by state.
        rollouts: the newest of each model, by state and whether it came to it by itself.
        rollout_agents: those that these have chosen, by what they report; empty: nothing yet.
    """

    agents: tuple[AgentCount, ...]
    commands: dict[str, int]
    rollouts: dict[tuple[str, bool], int]
    rollout_agents: dict[str, int]


def take(connection: Connection, now: datetime) -> Census:
    """Counts."""
    seen = [(agents.c.last_seen_time > literal(now - age, agents.c.last_seen_time.type), name) for name, age in SILENCES]
    expires = [(agents.c.certificate_expire_time <= literal(now + age, agents.c.last_seen_time.type), name) for name, age in EXPIRIES]
    alike = select(
        agents.c.state,
        agents.c.report,
        case(*seen, else_=literal(LONGER, String)).label("silence"),
        case(*expires, else_=literal(LONGER, String)).label("expiry"),
        (agents.c.applied_generation == agents.c.desired_generation).label("is_applied"),
    ).subquery()
    columns = list(alike.c)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    waiting = select(commands.c.state, func.count()).where(commands.c.state.in_((PENDING, BEGUN))).group_by(commands.c.state)
    found = {row[0]: int(row[1]) for row in connection.execute(waiting)}
    return Census(
        tuple(AgentCount(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in rows),
        {PENDING: 0, BEGUN: 0, **found},
        *_rollouts(connection),
    )


def _rollouts(connection: Connection) -> tuple[dict[tuple[str, bool], int], dict[str, int]]:
    newest = rollouts.c.number.in_(select(func.max(rollouts.c.number)).group_by(rollouts.c.model))
    stand = select(rollouts.c.state, (rollouts.c.mover == "").label("by_itself")).where(newest).subquery()
    by_state = connection.execute(select(*stand.c, func.count()).group_by(*stand.c))
    chosen = select(rollout_agents.c.state, func.count()).join(rollouts, rollouts.c.rollout_id == rollout_agents.c.rollout_id)
    by_report = connection.execute(chosen.where(newest).group_by(rollout_agents.c.state))
    return {(row[0], bool(row[1])): row[2] for row in by_state}, {row[0]: row[1] for row in by_report}
