"""What the agents of each group have spent of its quota, day by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hub.store.tables import quota_usage

_KEPT = timedelta(days=2)
"""Days are kept so long: the clocks of two hubs may disagree on which it is."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one group, on one day.

    Args:
        escalations: that were let in.
        tokens: in and out, of those that have ended, and the most that the others can take.
    """

    escalations: int = 0
    tokens: int = 0


def get(connection: Connection, day: date, group_id: str) -> Spent:
    """Returns what one group has spent."""
    return everything(connection, day, [group_id]).get(group_id, Spent())


def everything(connection: Connection, day: date, group_ids: Iterable[str]) -> dict[str, Spent]:
    """Returns what groups have spent, by their ids; one that has spent nothing is left out."""
    chosen = select(quota_usage).where(quota_usage.c.day == day, quota_usage.c.group_id.in_(list(group_ids)))
    return {row["group_id"]: Spent(row["escalations"], row["tokens"]) for row in connection.execute(chosen).mappings()}


def begin(connection: Connection, day: date, group_id: str) -> None:
    """Makes sure that a group has its row of the day, and forgets old ones."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = {"group_id": group_id, "day": day, "escalations": 0, "tokens": 0}
    if connection.execute(insert(quota_usage).values(row).on_conflict_do_nothing()).rowcount:
        connection.execute(delete(quota_usage).where(quota_usage.c.group_id == group_id, quota_usage.c.day <= day - _KEPT))


def add(connection: Connection, day: date, group_id: str, escalations: int, tokens: int) -> None:
    """Adds to what a group has spent, or takes from it."""
    row = update(quota_usage).where(quota_usage.c.day == day, quota_usage.c.group_id == group_id)
    connection.execute(row.values(escalations=quota_usage.c.escalations + escalations, tokens=quota_usage.c.tokens + tokens))
