"""What is distributed: TUF metadata and targets."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "release_metadata",
        sa.Column("name", sa.String(160), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "release_targets",
        sa.Column("path", sa.String(400), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
