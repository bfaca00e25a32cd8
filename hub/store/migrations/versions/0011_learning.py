"""Rounds of sums over the fleet: what was asked, and what it came to."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables."""
    _create_rounds()
    _create_cohorts()
    op.create_table(
        "learning_asked",
        sa.Column("window", sa.String(32), primary_key=True),
        sa.Column("agent_id", sa.String(63), primary_key=True),
        sa.Column("is_exposed", sa.Boolean, nullable=False),
    )


def _create_rounds() -> None:
    op.create_table(
        "learning_rounds",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("round_id", sa.String(32), nullable=False, unique=True),
        sa.Column("window", sa.String(16), nullable=False),
        sa.Column("subject", sa.JSON, nullable=False),
        sa.Column("group_by", sa.JSON, nullable=False),
        sa.Column("is_exact", sa.Boolean, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("roster_version", sa.BigInteger, nullable=False),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("creator", sa.String(512), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("end_time", _TIME),
        sa.Column("request_id", sa.String(36), nullable=False, unique=True),
        sa.Column("replica_id", sa.String(32)),
        sqlite_autoincrement=True,
    )
    op.create_index("learning_rounds_by_window", "learning_rounds", ["window", "number"])


def _create_cohorts() -> None:
    rounds = sa.ForeignKey("learning_rounds.round_id", ondelete="CASCADE")
    op.create_table(
        "learning_cohorts",
        sa.Column("round_id", sa.String(32), rounds, primary_key=True),
        sa.Column("cohort", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("group", sa.JSON, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("threshold", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("lost", sa.JSON, nullable=False),
        sa.Column("contributors", sa.Integer, nullable=False),
        sa.Column("rho", sa.Float, nullable=False),
        sa.Column("variance", sa.Float, nullable=False),
        sa.Column("sums", sa.JSON, nullable=False),
    )
