"""The enrolled agents, and the tokens that let them in."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "agents",
        sa.Column("agent_id", sa.String(63), primary_key=True),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("certificate_expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_time", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "join_tokens",
        sa.Column("token_id", sa.String(16), primary_key=True),
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spend_time", sa.DateTime(timezone=True)),
        sa.Column("request_id", sa.String(36)),
        sa.Column("agent_id", sa.String(63), sa.ForeignKey("agents.agent_id", ondelete="SET NULL")),
    )
