"""What an agent is told of a round that it is to take part in."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("commands", sa.Column("learning_round", sa.LargeBinary, nullable=False, server_default=""))
