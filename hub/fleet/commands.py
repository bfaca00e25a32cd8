"""Commands: things that an agent is told to do once."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from contract.errors import InvalidRequest, NotFound, NotPossibleNow, Reason
from hub.clock import Clock
from hub.fleet.directory import find
from hub.fleet.events import Journal
from hub.fleet.messages import command_name
from hub.store import commands
from hub.store.agents import RETIRED
from hub.store.commands import CANCELLED, EXPIRED, PENDING, CommandRecord
from hub.store.database import Database
from hub.store.events import NewEvent
from hub.store.signals import Topic, signal

DEFAULT_TTL = timedelta(days=1)
MAX_TTL = timedelta(days=30)
MAX_LOG_LINES = 1000


class Commands:
    """All commands.

    Args:
        database: where they are kept.
        journal: told of them.
        clock: the time, in UTC.
    """

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def create(
        self, agent_id: str, action: str, request_id: str, actor: str, *, log_lines: int = 0, ttl: timedelta = DEFAULT_TTL
    ) -> CommandRecord:
        """Tells an agent to do something. The same request again returns the command that it made.

        Args:
            agent_id: whom.
            action: a name of Command.Action.
            request_id: a UUID; it becomes the command's id.
            actor: who does it.
            log_lines: for FETCH_LOGS.
            ttl: until when it must have begun.

        Raises:
            NotFound: AGENT_NOT_FOUND.
            NotPossibleNow: AGENT_RETIRED.
            InvalidRequest: TTL_INVALID, FIELD_INVALID.
        """
        if not timedelta(0) < ttl <= MAX_TTL:
            raise InvalidRequest(Reason.TTL_INVALID, "The time to live must be above 0 and at most 30 days.")
        if not 0 <= log_lines <= MAX_LOG_LINES:
            raise InvalidRequest(Reason.FIELD_INVALID, f"log_lines must be from 0 to {MAX_LOG_LINES}.")
        now = self._clock()
        new = CommandRecord(request_id, agent_id, action, log_lines, now, now + ttl)
        return self._shown(await self._journal.write(partial(_create, new, actor)))

    async def get(self, agent_id: str, command_id: str) -> CommandRecord:
        """Returns one command.

        Raises:
            NotFound: COMMAND_NOT_FOUND.
        """
        return self._shown(await self._database.read(partial(_find, agent_id, command_id)))

    async def page(self, agent_id: str | None, before: int | None, size: int) -> list[CommandRecord]:
        """Returns at most `size` commands of an agent (None: of all), the newest first, behind the number `before`.

        Without their output: it may be long.
        """
        records = await self._database.read(lambda connection: commands.page(connection, agent_id, before, size))
        return [self._shown(record) for record in records]

    async def cancel(self, agent_id: str, command_id: str, actor: str) -> CommandRecord:
        """Takes back a command that the agent has not begun.

        Raises:
            NotFound: COMMAND_NOT_FOUND.
            NotPossibleNow: COMMAND_BEGUN.
        """
        now = self._clock()

        def work(connection: Connection) -> tuple[None, list[NewEvent]]:
            record = _find(agent_id, command_id, connection)
            if record.state == CANCELLED:
                return None, []
            if record.state != PENDING:
                raise NotPossibleNow(Reason.COMMAND_BEGUN, f"The command is {record.state} and cannot be taken back.")
            commands.change(connection, agent_id, command_id, state=CANCELLED, end_time=now)
            return None, [NewEvent(now, "COMMAND_ENDED", command_name(agent_id, command_id), actor, f"{record.action} {CANCELLED}.")]

        await self._journal.write(work)
        return await self.get(agent_id, command_id)

    async def expire(self) -> None:
        """Ends commands that no agent has begun in time."""
        now = self._clock()
        if await self._database.read(lambda connection: commands.overdue(connection, now)):
            await self._journal.write(
                lambda connection: (None, [_expire(record, connection) for record in commands.overdue(connection, now)])
            )

    async def forget(self, age: timedelta) -> None:
        """Deletes those that ended longer ago."""
        before = self._clock() - age
        if await self._database.read(lambda connection: commands.has_ended(connection, before)):
            await self._database.write(lambda connection: commands.forget(connection, before))

    def _shown(self, record: CommandRecord) -> CommandRecord:
        """An overdue command is expired, whether `expire` has come by or not."""
        if record.state == PENDING and record.expire_time <= self._clock():
            return replace(record, state=EXPIRED, end_time=record.expire_time)
        return record


def _create(new: CommandRecord, actor: str, connection: Connection) -> tuple[CommandRecord, list[NewEvent]]:
    if find(new.agent_id, connection).state == RETIRED:
        raise NotPossibleNow(Reason.AGENT_RETIRED, f"Agent {new.agent_id} is retired and does nothing any more.")
    before = commands.get(connection, new.agent_id, new.command_id)
    if before is None:
        commands.insert(connection, new)
        signal(connection, Topic.AGENTS, [new.agent_id])
        return new, [NewEvent(new.create_time, "COMMAND_CREATED", command_name(new.agent_id, new.command_id), actor, f"{new.action}.")]
    if (before.action, before.log_lines) != (new.action, new.log_lines):
        raise InvalidRequest(Reason.FIELD_INVALID, "This request_id made another command: make a new UUID for each.")
    return before, []


def _expire(record: CommandRecord, connection: Connection) -> NewEvent:
    commands.change(connection, record.agent_id, record.command_id, state=EXPIRED, end_time=record.expire_time)
    name = command_name(record.agent_id, record.command_id)
    return NewEvent(record.expire_time, "COMMAND_ENDED", name, detail=f"{record.action} {EXPIRED}.")


def _find(agent_id: str, command_id: str, connection: Connection) -> CommandRecord:
    record = commands.get(connection, agent_id, command_id)
    if record is None:
        raise NotFound(Reason.COMMAND_NOT_FOUND, f"Agent {agent_id} has no such command. See: seawall-hub commands list")
    return record
