"""Join tokens. Only a hash of the secret is kept, so that nobody who reads the database can enrol."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select, update

from hub.store.tables import join_tokens


@dataclass(frozen=True, slots=True)
class JoinTokenRecord:
    """One row. When it is spent, by which request and for which agent is set then. The labels are given to that agent."""

    token_id: str
    secret_sha256: bytes
    create_time: datetime
    expire_time: datetime
    spend_time: datetime | None = None
    request_id: str | None = None
    agent_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def insert(connection: Connection, record: JoinTokenRecord) -> None:
    """Adds a token."""
    connection.execute(join_tokens.insert().values(asdict(record)))


def get(connection: Connection, token_id: str) -> JoinTokenRecord | None:
    """Returns one, if it was ever made."""
    row = connection.execute(select(join_tokens).where(join_tokens.c.token_id == token_id)).mappings().one_or_none()
    return None if row is None else JoinTokenRecord(**row)


def spend(connection: Connection, token_id: str, *, time: datetime, request_id: str, agent_id: str) -> bool:
    """Marks a token as spent. Returns False if somebody else was first."""
    result = connection.execute(
        update(join_tokens)
        .where(join_tokens.c.token_id == token_id, join_tokens.c.spend_time.is_(None))
        .values(spend_time=time, request_id=request_id, agent_id=agent_id)
    )
    return result.rowcount == 1
