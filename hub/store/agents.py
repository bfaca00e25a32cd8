"""The enrolled agents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, delete, func, or_, select, update

from hub.store.tables import agents

ACTIVE = "ACTIVE"
SUSPENDED = "SUSPENDED"
RETIRED = "RETIRED"


_THIS = agents.c.agent_id == bindparam("agent")
_GET = select(agents).where(_THIS)


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """One row.

    Args:
        key_hash: of the public key that its certificate must have; another key of the same name is somebody else.
        certificate: the one it was given, DER.
        last_seen_time: of its last call or heartbeat, to the minute; None: it has made none.
        previous_key_hash: of the key before the last renewal, good until the new one is first used; empty: none.
        labels: chosen by operators.
        revision: counts an operator's changes.
        report: the last AgentReport, serialised; None: it has had no session.
        configuration: what is wanted of it, all its groups put together, serialised.
        desired_generation: of `configuration`.
        refusal: why it refused that generation; empty: it did not.
        certificate_issuer: the hash of the key of the CA that issued the certificate; empty: from before this was kept.
        replica_id: the process of the hub that holds its session; None: it has none.
        release: what a rollout wants of it, a DesiredRelease, serialised; empty: nothing.
        release_number: grows with each change of `release`.
        release_rollout: the rollout that it was last told of; empty: none.
        member_key_hash: of the public key by which rosters know it, the last that it has said; no other agent has it. None: none was said.
    """

    agent_id: str
    key_hash: str
    certificate: bytes
    create_time: datetime
    certificate_expire_time: datetime
    last_seen_time: datetime | None = None
    previous_key_hash: str = ""
    state: str = ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    revision: int = 1
    report: bytes | None = None
    configuration: bytes = b""
    desired_generation: int = 0
    applied_generation: int = 0
    refusal: str = ""
    certificate_issuer: str = ""
    replica_id: str | None = None
    release: bytes = b""
    release_number: int = 0
    release_rollout: str = ""
    member_key_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """What a session needs to know of its agent."""

    state: str
    replica_id: str | None
    configuration: bytes
    generation: int
    release: bytes
    release_number: int


def insert(connection: Connection, record: AgentRecord) -> None:
    """Adds an agent."""
    connection.execute(agents.insert().values(asdict(record)))


def remove(connection: Connection, agent_id: str) -> None:
    """Takes an agent away, with its commands."""
    connection.execute(delete(agents).where(agents.c.agent_id == agent_id))


def get(connection: Connection, agent_id: str) -> AgentRecord | None:
    """Returns one, if it is enrolled."""
    row = connection.execute(_GET, {"agent": agent_id}).mappings().one_or_none()
    return None if row is None else AgentRecord(**row)


def with_member_key(connection: Connection, member_key_hash: str) -> str | None:
    """Returns the id of the agent that has a member key; None: none has."""
    found: str | None = connection.scalar(select(agents.c.agent_id).where(agents.c.member_key_hash == member_key_hash))
    return found


def member_keys(connection: Connection) -> dict[str, str]:
    """Returns the hashes of the member keys that active agents have said last, by their ids."""
    chosen = select(agents.c.agent_id, agents.c.member_key_hash).where(agents.c.state == ACTIVE, agents.c.member_key_hash.is_not(None))
    return {row[0]: row[1] for row in connection.execute(chosen)}


def page(connection: Connection, after: str, size: int) -> list[AgentRecord]:
    """Returns agents in the order of their ids.

    Args:
        connection: of the transaction.
        after: begins behind this id; empty: with the first.
        size: at most so many.
    """
    rows = connection.execute(select(agents).where(agents.c.agent_id > after).order_by(agents.c.agent_id).limit(size)).mappings()
    return [AgentRecord(**row) for row in rows]


def reports(connection: Connection) -> list[tuple[bytes, int]]:
    """Returns what active agents last said of themselves, serialised, each with how many say so."""
    said = select(agents.c.report, func.count()).where(agents.c.state == ACTIVE, agents.c.report.is_not(None))
    return [(row[0], row[1]) for row in connection.execute(said.group_by(agents.c.report))]


def change(connection: Connection, agent_id: str, **values: Any) -> None:
    """Sets columns of one agent."""
    connection.execute(_update(tuple(values)), {"agent": agent_id} | values)


@cache
def _update(names: tuple[str, ...]) -> Update:
    """Built once for each set of columns, since building a statement takes longer than SQLite takes to run it."""
    return update(agents).where(_THIS).values({name: bindparam(name) for name in names})


def set_last_seen_times(connection: Connection, times: Iterable[tuple[str, datetime]]) -> None:
    """Notes when agents were last heard of, but where another process has heard of them since."""
    rows = [{"agent": agent_id, "time": time} for agent_id, time in times]
    if rows:
        is_newer = or_(agents.c.last_seen_time.is_(None), agents.c.last_seen_time < bindparam("time"))
        chosen = update(agents).where(agents.c.agent_id == bindparam("agent"), is_newer)
        connection.execute(chosen.values(last_seen_time=bindparam("time")), rows)


def wanted(connection: Connection, agent_id: str | None) -> list[tuple[str, Mapping[str, str], bytes, int]]:
    """Returns id, labels, configuration and its generation of one agent, or of all but the retired."""
    columns = select(agents.c.agent_id, agents.c.labels, agents.c.configuration, agents.c.desired_generation)
    chosen = agents.c.state != RETIRED if agent_id is None else agents.c.agent_id == agent_id
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(columns.where(chosen))]


def due(connection: Connection, agent_ids: Sequence[str]) -> dict[str, Due]:
    """Returns what sessions need to know of some agents, by id."""
    row = agents.c
    columns = (row.state, row.replica_id, row.configuration, row.desired_generation, row.release, row.release_number)
    found = connection.execute(select(row.agent_id, *columns).where(row.agent_id.in_(agent_ids)))
    return {agent_id: Due(*rest) for agent_id, *rest in found}


def set_configurations(connection: Connection, changes: Iterable[tuple[str, bytes, int]]) -> None:
    """Sets what is wanted of agents: id, configuration, generation."""
    rows = [{"agent": agent_id, "wanted": configuration, "number": generation} for agent_id, configuration, generation in changes]
    if rows:
        statement = update(agents).where(agents.c.agent_id == bindparam("agent"))
        connection.execute(statement.values(configuration=bindparam("wanted"), desired_generation=bindparam("number"), refusal=""), rows)
