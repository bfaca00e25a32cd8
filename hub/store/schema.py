"""Brings the tables of a database up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from hub.store.engines import MIGRATING, is_shared

NEWEST = "head"


def migrate(engine: Engine, revision: str = NEWEST) -> None:
    """Makes the tables as a revision has them. Of processes that start at the same time, one does it and the others wait."""
    with engine.connect() as connection:
        if not is_shared(engine):
            upgrade(connection, revision)
            return
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
            upgrade(connection, revision)


def upgrade(connection: Connection, revision: str = NEWEST) -> None:
    """Makes the tables as a revision has them, within the connection's transaction if it has one."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revision_of(connection: Connection) -> str | None:
    """Returns the revision that the tables have; None: there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def known_revisions() -> list[str]:
    """Returns all revisions, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
