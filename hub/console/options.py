"""What the commands have in common: options, how they reach the hub, how they print."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contract.errors import InvalidRequest, Reason
from hub.clock import utc_now
from hub.config import DATA_VARIABLE, load
from hub.folder import DataFolder
from hub.operator import Operator, connect


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


Data = Annotated[Path, typer.Option("--data", envvar=DATA_VARIABLE, help="The data folder: keys, settings, database.", file_okay=False)]
Config = Annotated[Path | None, typer.Option("--config", help="The settings. [default: hub.toml in the data folder]", dir_okay=False)]
Shown = Annotated[Output, typer.Option("--output", help="A table for people, or JSON for programs.")]
AgentId = Annotated[str, typer.Argument(help="The agent's id, such as plant-7.")]
GroupId = Annotated[str, typer.Argument(help="The group's id, such as oslo.")]


@contextmanager
def reach(data: Path, config: Path | None) -> Iterator[Operator]:
    """Connects to the hub of a data folder.

    Raises:
        SeawallError: it cannot be reached, or refuses.
    """
    folder = DataFolder(data)
    with connect(folder, load(config or folder.config).listeners.mtls, utc_now()) as operator:
        yield operator


def print_all(messages: Sequence[Message], output: Output, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Prints a list: as a table, or as JSON with all fields."""
    if output is Output.JSON:
        _print_json([MessageToDict(message) for message in messages])
        return
    table = Table(*heads, caption=caption or None)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def print_one(message: Message, output: Output) -> None:
    """Prints one thing: a line a field, or JSON."""
    fields = MessageToDict(message)
    if output is Output.JSON:
        _print_json(fields)
        return
    for name, value in fields.items():
        shown = ", ".join(f"{key}={inner}" for key, inner in value.items()) if isinstance(value, dict) else value
        lines = [plain(line) for line in str(shown).split("\n")]
        typer.echo(f"{name}: " + "\n    ".join(lines))


def plain(text: str) -> str:
    """Returns a text whose control characters are written out: agents say what they like, and the terminal must not do it."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in text)


def _print_json(data: object) -> None:
    Console().print_json(data=data, ensure_ascii=True)  # JSON itself lets the control characters above ASCII pass


def minute(time: Timestamp) -> str:
    """Returns a time for people, in UTC."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M")


def read_changes(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Reads `key=value` and `key-`.

    Returns:
        what is set, and what is taken away.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    given: dict[str, str] = {}
    taken: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key:
            given[key] = value
        elif word.endswith("-") and len(word) > 1:
            taken.append(word[:-1])
        else:
            raise InvalidRequest(Reason.FIELD_INVALID, f"'{word[:80]}' is neither KEY=VALUE nor KEY- (which takes KEY away).")
    return given, taken


def written(labels: Mapping[str, str]) -> str:
    """Returns labels in one line."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def parse_duration(text: str) -> timedelta:
    """Reads a duration such as 15m.

    Raises:
        InvalidRequest: TTL_INVALID.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise InvalidRequest(Reason.TTL_INVALID, f"'{text[:40]}' is no duration: write a number and s, m, h or d, such as 15m.")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return timedelta(**{unit: int(match[1])})
