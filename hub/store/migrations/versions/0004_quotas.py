"""How much the agents of a group may escalate in a day, and how much they have."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Widens the groups, makes the table of what is spent."""
    op.add_column("groups", sa.Column("escalations_per_day", sa.BigInteger))
    op.add_column("groups", sa.Column("tokens_per_day", sa.BigInteger))
    op.create_table(
        "quota_usage",
        sa.Column("group_id", sa.String(63), sa.ForeignKey("groups.group_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("escalations", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
    )
