"""Options that more than one command has."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file, a TOML. Default: $SEAWALL_AGENT_CONFIG, then /etc/seawall/agent.toml, else built-in values.",
    ),
]
