"""seawall-hub tokens."""

from typing import Annotated

import typer

from contract.errors import InvalidRequest, Reason
from hub.config import DEFAULT_DATA
from hub.console.options import Config, Data, Output, Shown, parse_duration, print_one, reach, read_changes, written

app = typer.Typer(help="Join tokens: each lets one device in, once.", no_args_is_help=True)

Ttl = Annotated[str, typer.Option(help="How long it may be used: a number and s, m, h or d; at most 30d.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="KEY=VALUE that the agent gets, such as site=berlin; may be repeated.")]


@app.command("create", epilog="Example: seawall-hub tokens create --ttl 15m --label site=berlin --label line=4")
def create_token(
    data: Data = DEFAULT_DATA, config: Config = None, ttl: Ttl = "1h", label: Labels = None, output: Shown = Output.TABLE
) -> None:
    """Prints a token that enrols one agent, once. The agent gets these labels and no others. The hub must be running."""
    labels, taken = read_changes(label or [])
    if taken:
        raise InvalidRequest(Reason.FIELD_INVALID, f"A new agent has no label {taken[0]} to be taken away: write --label KEY=VALUE.")
    lifetime = parse_duration(ttl)
    with reach(data, config) as operator:
        token = operator.create_join_token(lifetime, labels)
    if output is Output.JSON:
        print_one(token, output)
        return
    typer.echo(token.token)
    labelled = f" It is labelled {written(token.labels)}." if token.labels else ""
    typer.echo(f"Good for one agent, until {token.expire_time.ToJsonString()}.{labelled} It is shown this once.", err=True)
