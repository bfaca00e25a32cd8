"""Rollouts: what they are, the agents they have chosen, and what is wanted of each agent now."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Widens the agents, makes the tables."""
    with op.batch_alter_table("agents") as agents:
        agents.add_column(sa.Column("release", sa.LargeBinary, nullable=False, server_default=""))
        agents.add_column(sa.Column("release_number", sa.BigInteger, nullable=False, server_default="0"))
        agents.add_column(sa.Column("release_rollout", sa.String(63), nullable=False, server_default=""))
    _create_rollouts()
    _create_rollout_agents()


def _create_rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("rollout_id", sa.String(63), nullable=False, unique=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("wanted", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("mover", sa.String(512), nullable=False),
        sa.Column("current_wave", sa.Integer, nullable=False),
        sa.Column("approved_wave", sa.Integer, nullable=False),
        sa.Column("forgiven_wave", sa.Integer, nullable=False),
        sa.Column("times", sa.JSON, nullable=False),
        sa.Column("members", sa.JSON, nullable=False),
        sa.Column("creator", sa.String(512), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.Column("end_time", _TIME),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("rollouts_by_model", "rollouts", ["model", "number"])


def _create_rollout_agents() -> None:
    op.create_table(
        "rollout_agents",
        sa.Column("rollout_id", sa.String(63), sa.ForeignKey("rollouts.rollout_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("agent_id", sa.String(63), sa.ForeignKey("agents.agent_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("choose_time", _TIME, nullable=False),
        sa.Column("reach_time", _TIME),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("report", sa.LargeBinary),
        sa.Column("report_time", _TIME),
    )
    op.create_index("rollout_agents_by_state", "rollout_agents", ["rollout_id", "wave", "state"])
    op.create_index("rollout_agents_by_agent", "rollout_agents", ["agent_id"])
