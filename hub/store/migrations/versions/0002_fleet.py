"""What is wanted of agents and what they do: labels, states, configurations, groups, commands, events."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Widens the agents, makes the other tables."""
    with op.batch_alter_table("agents") as agents:
        agents.add_column(sa.Column("previous_key_hash", sa.String(64), nullable=False, server_default=""))
        agents.add_column(sa.Column("state", sa.String(16), nullable=False, server_default="ACTIVE"))
        agents.add_column(sa.Column("labels", sa.JSON, nullable=False, server_default="{}"))
        agents.add_column(sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
        agents.add_column(sa.Column("report", sa.LargeBinary))
        agents.add_column(sa.Column("configuration", sa.LargeBinary, nullable=False, server_default=""))
        agents.add_column(sa.Column("desired_generation", sa.BigInteger, nullable=False, server_default="0"))
        agents.add_column(sa.Column("applied_generation", sa.BigInteger, nullable=False, server_default="0"))
        agents.add_column(sa.Column("refusal", sa.Text, nullable=False, server_default=""))
    _create_groups()
    _create_commands()
    _create_events()


def _create_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("group_id", sa.String(63), primary_key=True),
        sa.Column("expression", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("configuration", sa.LargeBinary, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
    )


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("command_id", sa.String(36), nullable=False),
        sa.Column("agent_id", sa.String(63), sa.ForeignKey("agents.agent_id", ondelete="CASCADE"), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("log_lines", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("expire_time", _TIME, nullable=False),
        sa.Column("begin_time", _TIME),
        sa.Column("end_time", _TIME),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("commands_of_agent", "commands", ["agent_id", "command_id"], unique=True)
    op.create_index("commands_by_state", "commands", ["state", "expire_time"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(160), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
