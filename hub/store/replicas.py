"""The processes of the hub, and which of them holds which agent's session."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, update

from hub.store.tables import agents, replicas


def insert(connection: Connection, replica_id: str, now: datetime) -> None:
    """Adds a process."""
    connection.execute(replicas.insert().values(replica_id=replica_id, beats=0, start_time=now))


def beat(connection: Connection, replica_id: str) -> bool:
    """Says that a process is there. Returns False if it was given up."""
    own = update(replicas).where(replicas.c.replica_id == replica_id)
    return connection.execute(own.values(beats=replicas.c.beats + 1)).rowcount == 1


def beats(connection: Connection) -> Mapping[str, int]:
    """Returns how often each process has said that it is there."""
    return {row[0]: row[1] for row in connection.execute(select(replicas.c.replica_id, replicas.c.beats))}


def remove(connection: Connection, gone: Collection[str]) -> list[str]:
    """Takes processes away, with the sessions that they held. Returns the agents that had them."""
    connection.execute(delete(replicas).where(replicas.c.replica_id.in_(gone)))
    orphaned = agents.c.replica_id.is_not(None) & agents.c.replica_id.not_in(select(replicas.c.replica_id))
    found = list(connection.scalars(select(agents.c.agent_id).where(orphaned).order_by(agents.c.agent_id)))
    connection.execute(update(agents).where(orphaned).values(replica_id=None))
    return found


def held(connection: Connection, replica_id: str, agent_ids: Sequence[str]) -> set[str]:
    """Returns those of some agents whose sessions a process holds."""
    chosen = select(agents.c.agent_id).where(agents.c.agent_id.in_(agent_ids), agents.c.replica_id == replica_id)
    return set(connection.scalars(chosen))


def release(connection: Connection, replica_id: str, agent_ids: Sequence[str]) -> None:
    """Notes that a process holds the sessions of some agents no more."""
    if agent_ids:
        statement = update(agents).where(agents.c.agent_id == bindparam("agent"), agents.c.replica_id == replica_id)
        connection.execute(statement.values(replica_id=None), [{"agent": agent_id} for agent_id in agent_ids])
