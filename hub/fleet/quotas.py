"""Quotas: how much the agents of a group may escalate in a day, together.

What an escalation can take at most is reserved before any provider is asked, and settled when it has ended. All of it is in the store, in
one transaction each, so that it holds for several hubs on one database. A hub that dies in between leaves the reservation as spent. A
store that is away denies the escalation: the agent keeps its local answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from sqlalchemy import Connection

from contract.errors import Busy, InvalidRequest, Reason
from hub.clock import Clock
from hub.fleet import filters
from hub.fleet.directory import find
from hub.store import groups, quotas
from hub.store.database import Database
from hub.store.groups import GroupRecord
from hub.store.quotas import Spent

RETRY_SECONDS = 60.0
"""Agents ask again after so long at most: an operator may have raised the quota, or what was reserved is free again."""

MOST = 10**15
"""The largest quota, far from where a database's integers end."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Of a group's agents together, in a day in UTC. None: no limit."""

    escalations_per_day: int | None = None
    tokens_per_day: int | None = None

    def check(self) -> None:
        """Checks it.

        Raises:
            InvalidRequest: FIELD_INVALID.
        """
        for name, value in (("escalations_per_day", self.escalations_per_day), ("tokens_per_day", self.tokens_per_day)):
            if value is not None and not 1 <= value <= MOST:
                raise InvalidRequest(
                    Reason.FIELD_INVALID,
                    f"{name} must be from 1 to {MOST}, or unset for no limit. To let nothing be escalated, set escalation_disabled.",
                )


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one escalation can take at most, set aside.

    Args:
        day: on which it is counted, also when it ends on the next.
        group_ids: in whose quotas; none: nothing limits it.
        tokens: set aside in each.
    """

    day: date
    group_ids: tuple[str, ...]
    tokens: int


class QuotaSpent(Busy):
    """A group's quota does not let an escalation in.

    Args:
        group_id: whose.
        what: is spent, for a person.
        now: in UTC.
    """

    def __init__(self, group_id: str, what: str, now: datetime) -> None:
        self.group = f"groups/{group_id}"
        self.reset_time = reset_time(now)
        self.retry_seconds = min(RETRY_SECONDS, (self.reset_time - now).total_seconds())
        super().__init__(
            Reason.QUOTA_SPENT,
            f"The quota of {self.group} is spent: {what}. It is full again at {self.reset_time:%Y-%m-%dT%H:%MZ}; keep the local answer. "
            f"An operator can raise it: seawall-hub groups quota {group_id}",
        )


class Quotas:
    """All quotas.

    Args:
        database: where they are kept, and what is spent.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reserve(self, agent_id: str, tokens: int) -> Reservation:
        """Sets aside what one escalation of an agent can take at most, in the quota of each of its groups, or in none.

        Raises:
            QuotaSpent: QUOTA_SPENT, it does not fit into one.
            NotFound: AGENT_NOT_FOUND.
            Unavailable: HUB_UNAVAILABLE, the store is away.
        """
        now = self._clock()
        if not await self._database.read(partial(_limiting, agent_id)):
            return Reservation(now.date(), (), tokens)
        return await self._database.write(partial(_reserve, agent_id, tokens, now))

    async def settle(self, reservation: Reservation, tokens: int) -> int | None:
        """Counts what an escalation took, in the place of what was set aside.

        Returns:
            how many tokens are left today in the quota that is nearest to its end; None: none counts tokens, or the day is over.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the store is away; what was set aside stays as spent.
        """
        return await self._adjust(reservation, 0, tokens - reservation.tokens)

    async def release(self, reservation: Reservation) -> None:
        """Counts nothing: no provider began to answer.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the store is away; what was set aside stays as spent.
        """
        await self._adjust(reservation, -1, -reservation.tokens)

    async def spent(self, group_ids: Iterable[str]) -> tuple[Mapping[str, Spent], datetime]:
        """Returns what groups have spent today, by their ids, and when the next day begins."""
        now = self._clock()
        return await self._database.read(partial(quotas.everything, day=now.date(), group_ids=group_ids)), reset_time(now)

    async def _adjust(self, reservation: Reservation, escalations: int, tokens: int) -> int | None:
        def work(connection: Connection) -> int | None:
            limited = groups.with_quota(connection, lock=True)
            for group_id in reservation.group_ids:
                quotas.add(connection, reservation.day, group_id, escalations, tokens)
            return _left(connection, reservation, limited) if reservation.day == self._clock().date() else None

        return await self._database.write(work) if reservation.group_ids else None


def reset_time(now: datetime) -> datetime:
    """Returns when the next day begins, in UTC."""
    return datetime.combine(now.date() + timedelta(days=1), time(), UTC)


def _limiting(agent_id: str, connection: Connection, *, lock: bool = False) -> list[GroupRecord]:
    """Returns the groups of an agent that have a quota."""
    limited = groups.with_quota(connection, lock=lock)
    if not limited:
        return []
    fields = {f"labels.{key}": value for key, value in find(agent_id, connection).labels.items()}
    return [group for group in limited if filters.parse(group.expression).matches(fields)]


def _left(connection: Connection, reservation: Reservation, limited: Iterable[GroupRecord]) -> int | None:
    spent = quotas.everything(connection, reservation.day, reservation.group_ids)
    left = [group.tokens_per_day - spent[group.group_id].tokens for group in limited if group.tokens_per_day and group.group_id in spent]
    return max(0, min(left)) if left else None


def _reserve(agent_id: str, tokens: int, now: datetime, connection: Connection) -> Reservation:
    day = now.date()
    limiting = _limiting(agent_id, connection, lock=True)
    for group in limiting:
        quotas.begin(connection, day, group.group_id)
        spent = quotas.get(connection, day, group.group_id)
        if group.escalations_per_day is not None and spent.escalations >= group.escalations_per_day:
            raise QuotaSpent(group.group_id, f"{spent.escalations} of {group.escalations_per_day} escalations today", now)
        if group.tokens_per_day is not None and spent.tokens + tokens > group.tokens_per_day:
            raise QuotaSpent(group.group_id, f"{spent.tokens} of {group.tokens_per_day} tokens today, and this may take {tokens}", now)
        quotas.add(connection, day, group.group_id, 1, tokens)
    return Reservation(day, tuple(group.group_id for group in limiting), tokens)
