"""TUF metadata and targets, in the store, so that all processes of the hub serve the same.

A name with a version in it is written once; `timestamp.json` alone changes.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, select

from hub.store.tables import release_metadata, release_targets

TIMESTAMP = "timestamp.json"


def get_metadata(connection: Connection, name: str) -> bytes | None:
    """Returns a metadata file."""
    return connection.scalar(select(release_metadata.c.content).where(release_metadata.c.name == name))


def put_metadata(connection: Connection, name: str, content: bytes, now: datetime) -> None:
    """Writes a metadata file, over the old one if there is any."""
    connection.execute(delete(release_metadata).where(release_metadata.c.name == name))
    connection.execute(release_metadata.insert().values(name=name, content=content, create_time=now))


def newest_version(connection: Connection, role: str) -> int:
    """Returns the newest version of a role's metadata; 0: there is none."""
    suffix = f".{role}.json"
    names = connection.scalars(select(release_metadata.c.name).where(release_metadata.c.name.endswith(suffix, autoescape=True)))
    return max((int(name.removesuffix(suffix)) for name in names if name.removesuffix(suffix).isdigit()), default=0)


def newest_root(connection: Connection) -> bytes | None:
    """Returns the newest root; None: no trust was imported yet."""
    return get_metadata(connection, f"{newest_version(connection, 'root')}.root.json")


def forget_metadata(connection: Connection, role: str, before: datetime) -> None:
    """Deletes a role's metadata that were written before."""
    connection.execute(
        delete(release_metadata).where(
            release_metadata.c.name.endswith(f".{role}.json", autoescape=True), release_metadata.c.create_time < before
        )
    )


def get_target(connection: Connection, path: str) -> bytes | None:
    """Returns a target's file, by its consistent path."""
    return connection.scalar(select(release_targets.c.content).where(release_targets.c.path == path))


def put_target(connection: Connection, path: str, content: bytes, now: datetime) -> None:
    """Writes a target's file, unless it is there: its digest is in its path."""
    if get_target(connection, path) is None:
        connection.execute(release_targets.insert().values(path=path, content=content, create_time=now))
