"""The key by which rosters know an agent, and no other one."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Adds the column; agents say it at their next session."""
    op.add_column("agents", sa.Column("member_key_hash", sa.String(64)))
    op.create_index("agents_by_member_key", "agents", ["member_key_hash"], unique=True)
