"""Several processes on one database: which one holds each agent's session, which of them are there, which nonces are spent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the tables, and room for more events and commands than 31 bits count."""
    with op.batch_alter_table("agents") as agents:
        agents.add_column(sa.Column("replica_id", sa.String(32)))
    op.create_index("agents_by_replica", "agents", ["replica_id"])
    op.create_table(
        "replicas",
        sa.Column("replica_id", sa.String(32), primary_key=True),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "spent_nonces",
        sa.Column("nonce", sa.LargeBinary(64), primary_key=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite's integers have 64 bits anyway
        for table, column in (("events", "sequence"), ("commands", "number")):
            op.alter_column(table, column, type_=sa.BigInteger)
            op.execute(f"ALTER SEQUENCE {table}_{column}_seq AS bigint")
