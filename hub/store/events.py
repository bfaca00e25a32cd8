"""What has happened in the fleet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from hub.store.signals import Topic, signal
from hub.store.tables import events

_INSERT = events.insert()


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that has happened.

    Args:
        type: such as AGENT_CONNECTED.
        subject: the resource's name.
        actor: a SPIFFE id; empty: the hub itself.
        detail: one sentence; never prompt text.
    """

    create_time: datetime
    type: str
    subject: str
    actor: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One row."""

    sequence: int
    create_time: datetime
    type: str
    subject: str
    actor: str
    detail: str


def append(connection: Connection, new: Sequence[NewEvent]) -> None:
    """Adds events, in this order, and wakes those who watch."""
    rows = [
        {"create_time": one.create_time, "type": one.type, "subject": one.subject, "actor": one.actor, "detail": one.detail} for one in new
    ]
    if rows:
        connection.execute(_INSERT, rows)
        signal(connection, Topic.EVENTS)


def after(connection: Connection, sequence: int, size: int) -> list[EventRecord]:
    """Returns at most `size` events behind a sequence, the oldest first."""
    rows = connection.execute(select(events).where(events.c.sequence > sequence).order_by(events.c.sequence).limit(size)).mappings()
    return [EventRecord(**row) for row in rows]


def bounds(connection: Connection) -> tuple[int, int]:
    """Returns the first and the last sequence that are kept; (1, 0): there is none."""
    first, last = connection.execute(select(func.min(events.c.sequence), func.max(events.c.sequence))).one()
    return (1, 0) if first is None else (first, last)


def forget(connection: Connection, before: datetime) -> None:
    """Deletes what is older, but for the newest: its sequence says where the count stands."""
    newest = select(func.max(events.c.sequence)).scalar_subquery()
    connection.execute(delete(events).where(events.c.create_time < before, events.c.sequence < newest))
