"""SQLite and PostgreSQL, made to behave alike: one writer at a time, and a reader sees one moment."""

from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError

BUSY_SECONDS = 5
"""A writer waits so long for its turn, then the store is away."""

STATEMENT_SECONDS = 30
IDLE_SECONDS = 15
"""A process that stands still in a transaction loses it, and with it its turn."""

CONNECT_SECONDS = 5
SILENT_SECONDS = 15
"""A peer that acknowledges nothing for so long is gone."""

_UNUSABLE = ("42P01", "42703", "42501")
"""PostgreSQL's words for a table or column that is not there, or may not be used. SQLite calls them operational errors."""

WRITING = 0x5EA_0001
MIGRATING = 0x5EA_0002
LEARNING = 0x5EA_0003
"""PostgreSQL's advisory locks."""


def create_engine(url: str | URL) -> Engine:
    """Makes an engine. `postgresql://` is spoken with psycopg.

    Args:
        url: SQLAlchemy's.
    """
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "postgresql":
        return _create_postgresql(parsed)
    engine = sqlalchemy.create_engine(parsed, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def is_shared(engine: Engine) -> bool:
    """Says whether several processes may serve from this database at once."""
    return engine.dialect.name == "postgresql"


def is_away(error: DBAPIError) -> bool:
    """Says whether an error means that the database cannot be used now: it cannot be reached, has ended a transaction, or lacks a table."""
    if isinstance(error, OperationalError | InternalError):
        return True
    return getattr(error.orig, "sqlstate", "") in _UNUSABLE


def for_reading(engine: Engine) -> Engine:
    """Returns the engine for work that sees one moment and changes nothing."""
    if is_shared(engine):
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def for_writing(engine: Engine) -> Engine:
    """Returns the engine for work that nobody else writes beside, so that what it reads stays so until it has written."""
    return engine.execution_options(writes=True)


def connection_arguments(engine: Engine) -> dict[str, Any]:
    """Returns what psycopg is to be called with for a connection beside the engine's."""
    return dict(engine.dialect.create_connect_args(engine.url)[1]) | _socket_arguments()


def _create_postgresql(url: URL) -> Engine:
    times = {
        "lock_timeout": BUSY_SECONDS,
        "statement_timeout": STATEMENT_SECONDS,
        "idle_in_transaction_session_timeout": IDLE_SECONDS,
        "tcp_keepalives_idle": SILENT_SECONDS // 3,
        "tcp_keepalives_interval": SILENT_SECONDS // 3,
        "tcp_keepalives_count": 2,
    }
    milliseconds = 1000
    options = " ".join(f"-c {name}={seconds * (1 if name.startswith('tcp_keep') else milliseconds)}" for name, seconds in times.items())
    arguments = _socket_arguments() | {"options": f"{options} -c tcp_user_timeout={SILENT_SECONDS * milliseconds}"}
    engine = sqlalchemy.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _socket_arguments() -> dict[str, Any]:
    """A server that has vanished without a word is noticed."""
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": SILENT_SECONDS // 3,
        "keepalives_interval": SILENT_SECONDS // 3,
        "keepalives_count": 2,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
        "application_name": "seawall-hub",
    }


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Our own BEGIN, since sqlite3's comes too late to lock for a read that precedes a write."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    """One writer at a time: what it reads stays so until it commits, and sequences become visible in their order."""
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING})")
