"""Labels that come with a join token, and which CA issued an agent's certificate."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds both columns."""
    op.add_column("join_tokens", sa.Column("labels", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("agents", sa.Column("certificate_issuer", sa.String(64), nullable=False, server_default=""))
