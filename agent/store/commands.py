"""The table `commands`: what the hub has told this agent to do. A name in it is never begun again."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, TypeVar

from sqlite_utils import Database as Tables

from agent.store.database import Database, unusable

T = TypeVar("T")


class State(IntEnum):
    """How far a command has come; numbers as in `seawall.hub.v1.Command.State`."""

    BEGUN = 2
    SUCCEEDED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command that was begun.

    Args:
        name: `agents/{agent}/commands/{command}`.
        action: as in `seawall.hub.v1.Command.Action`.
        log_lines: how many are wanted, where it fetches logs.
        expire_time: POSIX time by the hub's clock, seconds; after it the hub no longer sends it.
        state: how far it has come.
        output: of a command that has ended.
        error: why it failed; empty: it did not.
        learning_round: that it is about, a LearningRound, serialised; it is not kept: a command is not begun twice.
    """

    name: str
    action: int
    log_lines: int
    expire_time: float
    state: State = State.BEGUN
    output: str = ""
    error: str = ""
    learning_round: bytes = b""


_COLUMNS = tuple(field.name for field in fields(CommandEntry) if field.name != "learning_round")


class CommandStore:
    """The commands. When a method returns, what it did is on the disk.

    Args:
        database: the store.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, command: CommandEntry) -> CommandEntry | None:
        """Takes a command, once. Returns None if it is new, else what is known of it."""
        return await self._run(lambda tables: _begin(tables, command))

    async def end(self, name: str, state: State, output: str, error: str) -> None:
        """Keeps what came of a command that was begun."""
        query = "UPDATE commands SET state = ?, output = ?, error = ? WHERE name = ? AND state = ?"
        await self._run(lambda tables: tables.execute(query, [int(state), output, error, name, int(State.BEGUN)]))

    async def begun(self) -> list[CommandEntry]:
        """Returns those that have not ended, oldest first."""
        return await self._entries("state = ?", int(State.BEGUN))

    async def unreceived(self) -> list[CommandEntry]:
        """Returns those of which the hub has not received the end, oldest first."""
        return await self._entries("received = 0")

    async def set_received(self, name: str) -> None:
        """Marks a command whose end the hub has on its disk, and drops its output. Its name stays."""
        query = "UPDATE commands SET received = 1, output = '' WHERE name = ? AND state != ?"
        await self._run(lambda tables: tables.execute(query, [name, int(State.BEGUN)]))

    async def forget(self, expired_before: float) -> None:
        """Forgets the names of commands that are done with, and that the hub sends no more.

        Args:
            expired_before: POSIX time by the hub's clock, seconds.
        """
        await self._run(lambda tables: tables.execute("DELETE FROM commands WHERE received = 1 AND expire_time < ?", [expired_before]))

    async def _entries(self, condition: str, *parameters: Any) -> list[CommandEntry]:
        query = f"SELECT * FROM commands WHERE {condition} ORDER BY sequence"  # noqa: S608 - conditions of this class alone
        return await self._run(lambda tables: [_entry(row) for row in tables.query(query, parameters)])

    async def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return await self._database.run(work)
        except sqlite3.DatabaseError as error:
            raise unusable(error) from error


def _begin(tables: Tables, command: CommandEntry) -> CommandEntry | None:
    row = next(iter(tables.query("SELECT * FROM commands WHERE name = ?", [command.name])), None)
    if row is not None:
        return _entry(row)
    values = {name: getattr(command, name) for name in _COLUMNS}
    tables.table("commands").insert({**values, "state": int(command.state), "received": 0})
    return None


def _entry(row: dict[str, Any]) -> CommandEntry:
    values = {name: row[name] for name in _COLUMNS}
    return CommandEntry(**{**values, "state": State(row["state"])})
