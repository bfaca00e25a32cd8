"""What a witnessed head says of the heads before it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the column; heads of earlier versions say nothing."""
    op.add_column("witnessed_heads", sa.Column("chain", sa.Text))
