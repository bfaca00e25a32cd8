"""Groups: agents chosen by their labels, and what is wanted of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from contract.errors import Conflict, InvalidRequest, NotFound, Reason
from hub.clock import Clock
from hub.fleet import filters
from hub.fleet.configuration import check, refresh
from hub.fleet.events import Journal
from hub.fleet.lifecycle import check_etag
from hub.fleet.quotas import Quota
from hub.store import groups
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.groups import GroupRecord
from hub.store.signals import Topic, signal
from seawall.hub.v1 import group_pb2

MAX_GROUPS = 1000
"""All of them are looked at for each agent."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator says of a group.

    Args:
        expression: a filter over labels; empty: all agents.
        priority: a higher one wins.
        configuration: what is wanted.
        quota: how much the agents may escalate together.
    """

    expression: str
    priority: int
    configuration: group_pb2.Configuration
    quota: Quota

    def check(self) -> None:
        """Checks it.

        Raises:
            InvalidRequest: FILTER_INVALID, FIELD_INVALID.
        """
        fields = filters.fields_of(filters.parse(self.expression))
        if others := sorted(field for field in fields if not field.startswith("labels.")):
            raise InvalidRequest(Reason.FILTER_INVALID, f"A group chooses by labels alone, and not by {others[0]}: use labels.KEY.")
        check(self.configuration)
        self.quota.check()

    def put_into(self, record: GroupRecord) -> GroupRecord:
        """Returns a group of which this is wanted, else as it was."""
        return replace(
            record,
            expression=self.expression,
            priority=self.priority,
            configuration=self.configuration.SerializeToString(deterministic=True),
            escalations_per_day=self.quota.escalations_per_day,
            tokens_per_day=self.quota.tokens_per_day,
        )


class Groups:
    """All groups.

    Args:
        database: where they are kept.
        journal: told of changes.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def get(self, group_id: str) -> GroupRecord:
        """Returns one group.

        Raises:
            NotFound: GROUP_NOT_FOUND.
        """
        return await self._database.read(partial(_find, group_id))

    async def everything(self) -> list[GroupRecord]:
        """Returns all groups in the order in which they are applied."""
        return await self._database.read(groups.everything)

    async def create(self, group_id: str, wanted: Wanted, request_id: str, actor: str) -> GroupRecord:
        """Makes a group. The same request again returns what it made.

        Raises:
            Conflict: GROUP_EXISTS.
            InvalidRequest: FILTER_INVALID, FIELD_INVALID.
        """
        wanted.check()
        now = self._clock()
        new = wanted.put_into(GroupRecord(group_id, "", 0, b"", now, now, 1, request_id))

        def work(connection: Connection) -> GroupRecord | None:
            before = groups.get(connection, group_id)
            if before is None:
                _check_room(connection)
                groups.insert(connection, new)
                return new
            if replace(before, create_time=now, update_time=now) != new:
                raise Conflict(Reason.GROUP_EXISTS, f"There is a group {group_id} already: choose another id, or update it.")
            return None

        await self._change(group_id, work, "GROUP_CHANGED", actor)
        return await self.get(group_id)

    async def update(self, group_id: str, change: Callable[[Wanted], Wanted], etag: str, actor: str) -> GroupRecord:
        """Changes a group.

        Args:
            group_id: which.
            change: returns what is wanted after, of what was wanted before.
            etag: the current one; empty: any.
            actor: who does it.

        Raises:
            NotFound: GROUP_NOT_FOUND.
            InvalidRequest: FILTER_INVALID, FIELD_INVALID.
            Superseded: ETAG_MISMATCH.
        """

        def work(connection: Connection) -> GroupRecord | None:
            before = _find(group_id, connection)
            check_etag(etag, before.revision)
            wanted = change(_wanted(before))
            wanted.check()
            after = wanted.put_into(before)
            if after == before:
                return None
            groups.replace(connection, replace(after, update_time=self._clock(), revision=before.revision + 1))
            return after

        await self._change(group_id, work, "GROUP_CHANGED", actor)
        return await self.get(group_id)

    async def delete(self, group_id: str, etag: str, actor: str) -> None:
        """Takes a group away.

        Raises:
            NotFound: GROUP_NOT_FOUND.
            Superseded: ETAG_MISMATCH.
        """

        def work(connection: Connection) -> GroupRecord | None:
            before = _find(group_id, connection)
            check_etag(etag, before.revision)
            groups.remove(connection, group_id)
            return before

        await self._change(group_id, work, "GROUP_DELETED", actor)

    async def _change(self, group_id: str, work: Callable[[Connection], GroupRecord | None], kind: str, actor: str) -> None:
        """Changes groups, and what is wanted of every agent, in one transaction."""

        def both(connection: Connection) -> tuple[None, list[NewEvent]]:
            if work(connection) is None:
                return None, []
            now = self._clock()
            changed = refresh(connection, now)
            signal(connection, Topic.AGENTS, changed)
            return None, [NewEvent(now, kind, f"groups/{group_id}", actor, f"It changes what is wanted of {len(changed)} agents.")]

        await self._journal.write(both)


def _find(group_id: str, connection: Connection) -> GroupRecord:
    record = groups.get(connection, group_id)
    if record is None:
        raise NotFound(Reason.GROUP_NOT_FOUND, f"There is no group {group_id[:80]}. See: seawall-hub groups list")
    return record


def _wanted(record: GroupRecord) -> Wanted:
    quota = Quota(record.escalations_per_day, record.tokens_per_day)
    return Wanted(record.expression, record.priority, group_pb2.Configuration.FromString(record.configuration), quota)


def _check_room(connection: Connection) -> None:
    if len(groups.everything(connection)) >= MAX_GROUPS:
        raise InvalidRequest(Reason.FIELD_INVALID, f"There are {MAX_GROUPS} groups already, as many as there may be: delete one.")
