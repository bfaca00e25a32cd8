"""What agents' logs were when they were witnessed, and the hub's own log of escalations."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "hub_keys",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
    )
    _create_witness()
    _create_log()


def _create_witness() -> None:
    op.create_table(
        "witnessed_heads",
        sa.Column("agent_id", sa.String(63), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("witness_time", _TIME, nullable=False),
        sa.Column("witness_key", sa.LargeBinary, nullable=False),
        sa.Column("witness_signature", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "refused_heads",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("agent_id", sa.String(63), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("refused_heads_of_agent", "refused_heads", ["agent_id", "size", "root"], unique=True)


def _create_log() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("agent_id", sa.String(63), nullable=False),
        sa.Column("leaf", sa.Text, nullable=False),
    )
    op.create_index("audit_entries_of_agent", "audit_entries", ["agent_id", "number"])
    op.create_index("audit_entries_by_time", "audit_entries", ["create_time"])
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "audit_heads",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
