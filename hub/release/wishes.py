"""What a rollout wants of agents: who is told to take its version, and who to give it back."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from hub.release.rules import MUST_GIVE_BACK, choosable_waves
from hub.release.standing import StoredFacts, plan_of, standing_of
from hub.store import rollout_agents
from hub.store.rollout_agents import RolloutAgentRecord
from hub.store.rollout_states import GIVE_BACK, REFUSED, ROLLED_BACK, ROLLING_BACK, TAKE
from hub.store.rollouts import RolloutRecord
from hub.store.signals import Topic, signal
from seawall.hub.v1 import rollout_pb2

CHOSEN_AT_ONCE = 1000
"""In one write, so that the others need not wait for long."""


def tell(connection: Connection, record: RolloutRecord, now: datetime, ids: Collection[str] | None) -> int:
    """Tells agents what a rollout wants of them now, where it is something else than before.

    Args:
        connection: of the transaction.
        record: the rollout, as it stands.
        now: the time, in UTC.
        ids: the agents that may be chosen; None: any.

    Returns:
        how many it has told.
    """
    return _choose(connection, record, now, ids) + _take_back(connection, record, now)


def choosable(connection: Connection, record: RolloutRecord, now: datetime, ids: Collection[str] | None) -> list[RolloutAgentRecord]:
    """Returns the agents that a rollout may choose now, as it would have them."""
    plan = plan_of(record)
    waves = choosable_waves(plan, standing_of(record), StoredFacts(connection, record, now), now)
    if not waves:
        return []
    result = []
    for agent in rollout_agents.free(connection, record.rollout_id, record.number or 0, ids):
        wave = plan.wave_of(agent.agent_id, agent.labels)
        if wave is not None and wave < waves and not agent.is_busy:
            reach_time = now if agent.is_connected else None
            result.append(RolloutAgentRecord(record.rollout_id, agent.agent_id, wave, TAKE, now, reach_time))
    return result


def to_take_back(connection: Connection, record: RolloutRecord) -> list[str]:
    """Returns the agents that are to be told to give the version back."""
    states = MUST_GIVE_BACK.get(record.state)
    return rollout_agents.told_by(connection, record.rollout_id, TAKE, states) if states else []


def _choose(connection: Connection, record: RolloutRecord, now: datetime, ids: Collection[str] | None) -> int:
    found = choosable(connection, record, now, ids)
    chosen, later = found[:CHOSEN_AT_ONCE], found[CHOSEN_AT_ONCE:]
    if later:
        signal(connection, Topic.ROLLOUTS, [agent.agent_id for agent in later])
    if chosen:
        agent_ids = [agent.agent_id for agent in chosen]
        rollout_agents.insert(connection, chosen)
        rollout_agents.want(connection, record.rollout_id, agent_ids, _wish(record, rollout_pb2.DesiredRelease.TAKE))
        signal(connection, Topic.AGENTS, agent_ids)
    return len(chosen)


def _take_back(connection: Connection, record: RolloutRecord, now: datetime) -> int:
    agent_ids = to_take_back(connection, record)
    if agent_ids:
        rollout_agents.tell(connection, record.rollout_id, agent_ids, GIVE_BACK, now)
        rollout_agents.want(connection, record.rollout_id, agent_ids, _wish(record, rollout_pb2.DesiredRelease.GIVE_BACK))
        signal(connection, Topic.AGENTS, agent_ids)
    if record.state in (ROLLING_BACK, ROLLED_BACK):
        refused = rollout_agents.still_wanted(connection, record.rollout_id, REFUSED, TAKE)
        rollout_agents.want(connection, record.rollout_id, refused, b"")
    return len(agent_ids)


def _wish(record: RolloutRecord, action: rollout_pb2.DesiredRelease.Action.ValueType) -> bytes:
    wanted = rollout_pb2.Rollout.FromString(record.wanted)
    wish = rollout_pb2.DesiredRelease(rollout=f"rollouts/{record.rollout_id}", model_version=wanted.model_version, action=action)
    if action == rollout_pb2.DesiredRelease.TAKE:
        wish.trial.CopyFrom(wanted.trial)
    return wish.SerializeToString(deterministic=True)
