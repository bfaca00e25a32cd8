"""The tables as the newest migration leaves them."""

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turns any zone into UTC."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Marks what comes back as UTC."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


COUNT = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives out. SQLite does so for INTEGER alone, which has 64 bits."""

metadata = MetaData()

agents = Table(
    "agents",
    metadata,
    Column("agent_id", String(63), primary_key=True),
    Column("key_hash", String(64), nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("certificate_expire_time", UtcDateTime, nullable=False),
    Column("last_seen_time", UtcDateTime),
    Column("previous_key_hash", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("report", LargeBinary),
    Column("configuration", LargeBinary, nullable=False),
    Column("desired_generation", BigInteger, nullable=False),
    Column("applied_generation", BigInteger, nullable=False),
    Column("refusal", Text, nullable=False),
    Column("replica_id", String(32)),
    Index("agents_by_replica", "replica_id"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", String(32), primary_key=True),
    Column("beats", BigInteger, nullable=False),
    Column("start_time", UtcDateTime, nullable=False),
)

spent_nonces = Table(
    "spent_nonces",
    metadata,
    Column("nonce", LargeBinary(64), primary_key=True),
    Column("expire_time", UtcDateTime, nullable=False),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token_id", String(16), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("spend_time", UtcDateTime),
    Column("request_id", String(36)),
    Column("agent_id", String(63), ForeignKey("agents.agent_id", ondelete="SET NULL")),
)

groups = Table(
    "groups",
    metadata,
    Column("group_id", String(63), primary_key=True),
    Column("expression", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("configuration", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("request_id", String(36), nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("number", COUNT, primary_key=True),
    Column("command_id", String(36), nullable=False),
    Column("agent_id", String(63), ForeignKey("agents.agent_id", ondelete="CASCADE"), nullable=False),
    Column("action", String(32), nullable=False),
    Column("log_lines", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("begin_time", UtcDateTime),
    Column("end_time", UtcDateTime),
    Column("output", Text, nullable=False),
    Column("error", Text, nullable=False),
    Index("commands_of_agent", "agent_id", "command_id", unique=True),
    Index("commands_by_state", "state", "expire_time"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("sequence", COUNT, primary_key=True),
    Column("create_time", UtcDateTime, nullable=False),
    Column("type", String(32), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("actor", String(512), nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

release_metadata = Table(
    "release_metadata",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)

release_targets = Table(
    "release_targets",
    metadata,
    Column("path", String(400), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)
