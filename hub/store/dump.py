"""A database as lines of text: the same for every engine, so that what one has written another can read.

A line is `["table", {"column": value, …}]`. What JSON has no word for is an object with one key: `{"bytes": base64}`, `{"time": ISO 8601}`,
`{"date": ISO 8601}`.
Left out is what means something to a running process alone: which processes there are, and whose sessions they hold.
"""

import base64
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Column, Connection, Date, Engine, LargeBinary, Table, column, func, inspect, select, table, text

from hub.store.engines import for_reading, for_writing, is_shared
from hub.store.schema import known_revisions, revision_of, upgrade
from hub.store.tables import UtcDateTime, agents, metadata, replicas

CHUNK = 500
"""Rows in one go."""

_LEFT_OUT = (replicas,)
_BLANKED = {agents.c.replica_id: None}

TABLES = [each for each in metadata.sorted_tables if each not in _LEFT_OUT]
"""Those that others refer to come first."""


class Unusable(Exception):
    """A database or a dump that cannot be taken; says why."""


def write_lines(engine: Engine) -> Generator[tuple[str, str], None, None]:
    """Yields each row's table and line, as the database was at one moment.

    Raises:
        Unusable: another version has made the tables.
    """
    with for_reading(engine).connect() as connection, connection.begin():
        if revision_of(connection) != newest():
            raise Unusable("its tables are of another version: start this version's hub once")
        for each in TABLES:
            rows = connection.execution_options(yield_per=CHUNK).execute(select(each).order_by(*each.primary_key))
            for row in rows.mappings():
                values = {part.name: _BLANKED.get(part, _encoded(row[part.name])) for part in each.columns}
                yield each.name, json.dumps([each.name, values], separators=(",", ":"))


def newest() -> str:
    """Returns the revision that this version makes."""
    return known_revisions()[0]


def is_empty(connection: Connection) -> bool:
    """Says whether a database holds nothing of a hub."""
    there = set(inspect(connection).get_table_names())
    return not any(connection.execute(select(each).limit(1)).first() for each in metadata.sorted_tables if each.name in there)


def read_lines(engine: Engine, lines: Iterable[str], revision: str, rows: Mapping[str, int]) -> dict[str, int]:
    """Puts lines into an empty database, all or none, and brings the tables up to date.

    Args:
        engine: whose database holds nothing of a hub.
        lines: from `write_lines`.
        revision: of the tables that they were written from.
        rows: how many there are of each table.

    Returns:
        how many there are of each table afterwards.

    Raises:
        Unusable: the lines are of a newer version, or the database is not empty.
        ValueError: there are not so many rows, or a line is none.
    """
    if revision not in known_revisions():
        raise Unusable("a newer version has made it: install that one")
    with for_writing(engine).begin() as connection:
        if not is_empty(connection):
            raise Unusable("the database is not empty")
        if revision_of(connection) not in (None, revision):
            raise Unusable("the database has tables of another version already: give an empty one")
        upgrade(connection, revision)
        read = (json.loads(line) for line in lines)
        for name, found in groupby(read, key=lambda row: str(row[0])):
            _insert(connection, metadata.tables[name], (row[1] for row in found))
        put = {name: connection.scalar(select(func.count()).select_from(table(name))) for name in rows}
        if put != rows:
            raise ValueError("rows are missing")
        upgrade(connection)
        _count_on(connection)
        return {each.name: connection.scalar(select(func.count()).select_from(each)) or 0 for each in TABLES}


def _insert(connection: Connection, into: Table, rows: Iterator[dict[str, Any]]) -> None:
    """Inserts rows, which may lack columns that a later version has added."""
    while chunk := list(islice(rows, CHUNK)):
        columns = [into.c[name] for name in chunk[0]]
        known = table(into.name, *(column(each.name, each.type) for each in columns))
        connection.execute(known.insert(), [{each.name: _decoded(row[each.name], each) for each in columns} for row in chunk])


def _count_on(connection: Connection) -> None:
    """Lets PostgreSQL's sequences go on behind what was put in; SQLite sees it by itself."""
    if not is_shared(connection.engine):
        return
    for each in TABLES:
        number = each.autoincrement_column
        if number is not None:
            sequence = connection.scalar(select(func.pg_get_serial_sequence(each.name, number.name)))
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": _last(connection, number)})


def _last(connection: Connection, number: Column[Any]) -> int:
    return connection.scalar(select(func.coalesce(func.max(number), 1))) or 1


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _decoded(value: Any, target: Column[Any]) -> Any:
    if value is None:
        return None
    if isinstance(target.type, LargeBinary):
        return base64.b64decode(value["bytes"], validate=True)
    if isinstance(target.type, UtcDateTime):
        return datetime.fromisoformat(value["time"])
    return date.fromisoformat(value["date"]) if isinstance(target.type, Date) else value
