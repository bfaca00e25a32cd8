"""Groups of agents."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, or_, select, update

from hub.store.tables import groups


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One row.

    Args:
        expression: a filter over labels; empty: all agents.
        priority: a higher one wins.
        configuration: what is wanted, serialised.
        revision: counts changes.
        request_id: of the request that made it.
        escalations_per_day: of its agents together; None: no limit.
        tokens_per_day: of these, in and out; None: no limit.
    """

    group_id: str
    expression: str
    priority: int
    configuration: bytes
    create_time: datetime
    update_time: datetime
    revision: int = 1
    request_id: str = ""
    escalations_per_day: int | None = None
    tokens_per_day: int | None = None

    @property
    def has_quota(self) -> bool:
        """Says whether anything is limited."""
        return self.escalations_per_day is not None or self.tokens_per_day is not None


def insert(connection: Connection, record: GroupRecord) -> None:
    """Adds a group."""
    connection.execute(groups.insert().values(asdict(record)))


def get(connection: Connection, group_id: str) -> GroupRecord | None:
    """Returns one, if there is one."""
    row = connection.execute(select(groups).where(groups.c.group_id == group_id)).mappings().one_or_none()
    return None if row is None else GroupRecord(**row)


def everything(connection: Connection) -> list[GroupRecord]:
    """Returns all groups in the order in which they are applied. There are few."""
    rows = connection.execute(select(groups).order_by(groups.c.priority, groups.c.group_id)).mappings()
    return [GroupRecord(**row) for row in rows]


def with_quota(connection: Connection, *, lock: bool = False) -> list[GroupRecord]:
    """Returns the groups that have a quota.

    Args:
        connection: of the transaction.
        lock: until its end, all in the same order, so that no two wait for each other.
    """
    limited = or_(groups.c.escalations_per_day.is_not(None), groups.c.tokens_per_day.is_not(None))
    chosen = select(groups).where(limited).order_by(groups.c.group_id)
    return [GroupRecord(**row) for row in connection.execute(chosen.with_for_update() if lock else chosen).mappings()]


def replace(connection: Connection, record: GroupRecord) -> None:
    """Puts a group in the place of the one of the same id."""
    connection.execute(update(groups).where(groups.c.group_id == record.group_id).values(asdict(record)))


def remove(connection: Connection, group_id: str) -> None:
    """Takes a group away."""
    connection.execute(delete(groups).where(groups.c.group_id == group_id))
