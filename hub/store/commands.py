"""Commands to agents."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, bindparam, delete, select, update

from hub.store.tables import commands

PENDING = "PENDING"
BEGUN = "BEGUN"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
EXPIRED = "EXPIRED"
CANCELLED = "CANCELLED"


_LISTED = [each for each in commands.c if each.name != "output"]
_THIS = (commands.c.agent_id == bindparam("agent"), commands.c.command_id == bindparam("command"))
_GET = select(commands).where(*_THIS)
_INSERT = commands.insert()


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """One row.

    Args:
        command_id: the UUID of the request that made it.
        action: a name of Command.Action.
        expire_time: not begun by then: never.
        learning_round: that it is about, a LearningRound, serialised; empty: none.
        number: grows from command to command; None: not kept yet.
    """

    command_id: str
    agent_id: str
    action: str
    log_lines: int
    create_time: datetime
    expire_time: datetime
    state: str = PENDING
    begin_time: datetime | None = None
    end_time: datetime | None = None
    output: str = ""
    error: str = ""
    learning_round: bytes = b""
    number: int | None = None


def insert(connection: Connection, record: CommandRecord) -> None:
    """Adds a command. The database gives it its number."""
    values = asdict(record)
    del values["number"]
    connection.execute(_INSERT, values)


def get(connection: Connection, agent_id: str, command_id: str) -> CommandRecord | None:
    """Returns one, if there is one."""
    row = connection.execute(_GET, {"agent": agent_id, "command": command_id}).mappings().one_or_none()
    return None if row is None else CommandRecord(**row)


def page(connection: Connection, agent_id: str | None, before: int | None, size: int) -> list[CommandRecord]:
    """Returns commands without their output, the newest first.

    Args:
        connection: of the transaction.
        agent_id: whose; None: of all agents.
        before: begins behind this number; None: with the newest.
        size: at most so many.
    """
    chosen = select(*_LISTED).order_by(commands.c.number.desc()).limit(size)
    if agent_id is not None:
        chosen = chosen.where(commands.c.agent_id == agent_id)
    if before is not None:
        chosen = chosen.where(commands.c.number < before)
    return [CommandRecord(**row) for row in connection.execute(chosen).mappings()]


def pending(connection: Connection, agent_ids: Sequence[str], now: datetime) -> list[CommandRecord]:
    """Returns what agents are still to be told, the oldest first."""
    chosen = select(commands).where(commands.c.agent_id.in_(agent_ids), commands.c.state == PENDING, commands.c.expire_time > now)
    return [CommandRecord(**row) for row in connection.execute(chosen.order_by(commands.c.number)).mappings()]


def overdue(connection: Connection, now: datetime) -> list[CommandRecord]:
    """Returns what was not begun in time."""
    chosen = select(commands).where(commands.c.state == PENDING, commands.c.expire_time <= now)
    return [CommandRecord(**row) for row in connection.execute(chosen).mappings()]


def change(connection: Connection, agent_id: str, command_id: str, **values: Any) -> None:
    """Sets columns of one command."""
    connection.execute(_update(tuple(values)), {"agent": agent_id, "command": command_id} | values)


@cache
def _update(names: tuple[str, ...]) -> Update:
    """Built once for each set of columns, since building a statement takes longer than SQLite takes to run it."""
    return update(commands).where(*_THIS).values({name: bindparam(name) for name in names})


def has_ended(connection: Connection, before: datetime) -> bool:
    """Says whether there are commands that ended before."""
    return connection.execute(select(commands.c.number).where(_ended(before)).limit(1)).first() is not None


def forget(connection: Connection, before: datetime) -> None:
    """Deletes those that ended before."""
    connection.execute(delete(commands).where(_ended(before)))


def _ended(before: datetime) -> ColumnElement[bool]:
    return commands.c.state.in_((SUCCEEDED, FAILED, EXPIRED, CANCELLED)) & (commands.c.end_time < before)
