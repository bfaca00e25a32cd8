"""What more than one command has: options, and how a table is printed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file, a TOML. Default: $SEAWALL_AGENT_CONFIG, then /etc/seawall/agent.toml, else built-in values.",
    ),
]


def print_table(out: Console, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints rows under their names."""
    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)
