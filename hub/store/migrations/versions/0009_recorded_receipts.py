"""Receipts that agents' policies let leave their site, each once in the hub's own log."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds what tells a receipt; of an escalation there is nothing."""
    op.add_column("audit_entries", sa.Column("receipt_hash", sa.LargeBinary(32)))
    op.create_index("audit_entries_once", "audit_entries", ["agent_id", "receipt_hash"], unique=True)
