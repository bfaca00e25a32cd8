"""The tables as the newest migration leaves them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
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


class Name(TypeDecorator[str]):
    """Text of so many characters at most.

    PostgreSQL takes no NUL in a text, so that it becomes U+FFFD, on every engine alike, also where something is looked for.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replaces it."""
        del dialect
        return None if value is None else value.replace("\0", "\ufffd")


class Words(Name):
    """Text of any length."""

    impl = Text
    cache_ok = True


COUNT = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives out. SQLite does so for INTEGER alone, which has 64 bits."""

metadata = MetaData()

agents = Table(
    "agents",
    metadata,
    Column("agent_id", Name(63), primary_key=True),
    Column("key_hash", Name(64), nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("certificate_expire_time", UtcDateTime, nullable=False),
    Column("last_seen_time", UtcDateTime),
    Column("previous_key_hash", Name(64), nullable=False),
    Column("state", Name(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("report", LargeBinary),
    Column("configuration", LargeBinary, nullable=False),
    Column("desired_generation", BigInteger, nullable=False),
    Column("applied_generation", BigInteger, nullable=False),
    Column("refusal", Words(), nullable=False),
    Column("certificate_issuer", Name(64), nullable=False),
    Column("replica_id", Name(32)),
    Column("release", LargeBinary, nullable=False),
    Column("release_number", BigInteger, nullable=False),
    Column("release_rollout", Name(63), nullable=False),
    Column("member_key_hash", Name(64)),
    Index("agents_by_replica", "replica_id"),
    Index("agents_by_member_key", "member_key_hash", unique=True),
)

replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", Name(32), primary_key=True),
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
    Column("token_id", Name(16), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("spend_time", UtcDateTime),
    Column("request_id", Name(36)),
    Column("agent_id", Name(63), ForeignKey("agents.agent_id", ondelete="SET NULL")),
    Column("labels", JSON, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("group_id", Name(63), primary_key=True),
    Column("expression", Words(), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("configuration", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("request_id", Name(36), nullable=False),
    Column("escalations_per_day", BigInteger),
    Column("tokens_per_day", BigInteger),
)

commands = Table(
    "commands",
    metadata,
    Column("number", COUNT, primary_key=True),
    Column("command_id", Name(36), nullable=False),
    Column("agent_id", Name(63), ForeignKey("agents.agent_id", ondelete="CASCADE"), nullable=False),
    Column("action", Name(32), nullable=False),
    Column("log_lines", Integer, nullable=False),
    Column("state", Name(16), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("begin_time", UtcDateTime),
    Column("end_time", UtcDateTime),
    Column("output", Words(), nullable=False),
    Column("error", Words(), nullable=False),
    Column("learning_round", LargeBinary, nullable=False),
    Index("commands_of_agent", "agent_id", "command_id", unique=True),
    Index("commands_by_state", "state", "expire_time"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("sequence", COUNT, primary_key=True),
    Column("create_time", UtcDateTime, nullable=False),
    Column("type", Name(32), nullable=False),
    Column("subject", Name(160), nullable=False),
    Column("actor", Name(512), nullable=False),
    Column("detail", Words(), nullable=False),
    sqlite_autoincrement=True,
)

quota_usage = Table(
    "quota_usage",
    metadata,
    Column("group_id", Name(63), ForeignKey("groups.group_id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("escalations", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

release_metadata = Table(
    "release_metadata",
    metadata,
    Column("name", Name(160), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)

release_targets = Table(
    "release_targets",
    metadata,
    Column("path", Name(400), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("number", COUNT, primary_key=True),
    Column("rollout_id", Name(63), nullable=False, unique=True),
    Column("model", Name(63), nullable=False),
    Column("wanted", LargeBinary, nullable=False),
    Column("state", Name(24), nullable=False),
    Column("reason", Words(), nullable=False),
    Column("mover", Name(512), nullable=False),
    Column("current_wave", Integer, nullable=False),
    Column("approved_wave", Integer, nullable=False),
    Column("forgiven_wave", Integer, nullable=False),
    Column("times", JSON, nullable=False),
    Column("members", JSON, nullable=False),
    Column("creator", Name(512), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime),
    Column("revision", Integer, nullable=False),
    Column("request_id", Name(36), nullable=False),
    Index("rollouts_by_model", "model", "number"),
    sqlite_autoincrement=True,
)

rollout_agents = Table(
    "rollout_agents",
    metadata,
    Column("rollout_id", Name(63), ForeignKey("rollouts.rollout_id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", Name(63), ForeignKey("agents.agent_id", ondelete="CASCADE"), primary_key=True),
    Column("wave", Integer, nullable=False),
    Column("action", Name(16), nullable=False),
    Column("choose_time", UtcDateTime, nullable=False),
    Column("reach_time", UtcDateTime),
    Column("state", Name(16), nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("report", LargeBinary),
    Column("report_time", UtcDateTime),
    Index("rollout_agents_by_state", "rollout_id", "wave", "state"),
    Index("rollout_agents_by_agent", "agent_id"),
)

hub_keys = Table(
    "hub_keys",
    metadata,
    Column("key_hash", Name(64), primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
)

witnessed_heads = Table(
    "witnessed_heads",
    metadata,
    Column("agent_id", Name(63), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("witness_time", UtcDateTime, nullable=False),
    Column("witness_key", LargeBinary, nullable=False),
    Column("witness_signature", LargeBinary, nullable=False),
    Column("chain", Text),
)

refused_heads = Table(
    "refused_heads",
    metadata,
    Column("number", COUNT, primary_key=True),
    Column("agent_id", Name(63), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Index("refused_heads_of_agent", "agent_id", "size", "root", unique=True),
    sqlite_autoincrement=True,
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("agent_id", Name(63), nullable=False),
    Column("leaf", Words(), nullable=False),
    Column("receipt_hash", LargeBinary(32)),
    Index("audit_entries_of_agent", "agent_id", "number"),
    Index("audit_entries_once", "agent_id", "receipt_hash", unique=True),
    Index("audit_entries_by_time", "create_time"),
)

audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

learning_rounds = Table(
    "learning_rounds",
    metadata,
    Column("number", COUNT, primary_key=True),
    Column("round_id", Name(32), nullable=False, unique=True),
    Column("window", Name(16), nullable=False),
    Column("subject", JSON, nullable=False),
    Column("group_by", JSON, nullable=False),
    Column("is_exact", Boolean, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("roster_version", BigInteger, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("state", Name(16), nullable=False),
    Column("reason", Name(64), nullable=False),
    Column("creator", Name(512), nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime),
    Column("request_id", Name(36), nullable=False, unique=True),
    Column("replica_id", Name(32)),
    Index("learning_rounds_by_window", "window", "number"),
    sqlite_autoincrement=True,
)

learning_cohorts = Table(
    "learning_cohorts",
    metadata,
    Column("round_id", Name(32), ForeignKey("learning_rounds.round_id", ondelete="CASCADE"), primary_key=True),
    Column("cohort", Integer, primary_key=True, autoincrement=False),
    Column("group", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("threshold", Integer, nullable=False),
    Column("state", Name(16), nullable=False),
    Column("reason", Name(64), nullable=False),
    Column("stage", Name(16), nullable=False),
    Column("lost", JSON, nullable=False),
    Column("contributors", Integer, nullable=False),
    Column("rho", Float, nullable=False),
    Column("variance", Float, nullable=False),
    Column("sums", JSON, nullable=False),
)

learning_asked = Table(
    "learning_asked",
    metadata,
    Column("window", Name(32), primary_key=True),
    Column("agent_id", Name(63), primary_key=True),
    Column("is_exposed", Boolean, nullable=False),
)
