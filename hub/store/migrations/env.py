"""What Alembic runs. The connection is handed in by `hub.store.database`; there is no alembic.ini."""

from alembic import context

from hub.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
