"""seawall-hub: the fleet's central service, and its operator's commands."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import SeawallError
from hub import backup, logs
from hub import folder as data_folder
from hub.clock import utc_now
from hub.config import DEFAULT_DATA, load, read_api_keys
from hub.console import agents, audit, authorities, commands, events, groups, learning, releases, rollouts, tokens, trust
from hub.console.options import Config, Data
from hub.folder import DataFolder
from hub.systemd import Systemd

app = typer.Typer(
    help="The hub of a Seawall fleet: enrols agents, and answers what they escalate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for name, child in (
    ("agents", agents.app),
    ("tokens", tokens.app),
    ("ca", authorities.app),
    ("groups", groups.app),
    ("config", groups.config_app),
    ("commands", commands.app),
    ("events", events.app),
    ("audit", audit.app),
    ("releases", releases.app),
    ("rollouts", rollouts.app),
    ("learning", learning.app),
    ("trust", trust.app),
):
    app.add_typer(child, name=name)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seawall-hub {version('seawall')}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The hub of a Seawall fleet: enrols agents, and answers what they escalate."""
    del show_version


@app.command(epilog="Example: seawall-hub init --hostname hub.example.org")
def init(
    data: Data = DEFAULT_DATA,
    trust_domain: Annotated[str, typer.Option(help="In every certificate; cannot be changed later.")] = "seawall.internal",
    hostname: Annotated[list[str] | None, typer.Option(help="A name or address that agents reach the hub by; may be repeated.")] = None,
) -> None:
    """Makes the data folder: a certificate authority, the server's and an operator's certificates, and hub.toml."""
    made = data_folder.create(DataFolder(data), trust_domain, hostname or [], utc_now)
    for path in made:
        typer.echo(f"made {path}")
    if made:
        typer.echo(f"Next: look into {data / 'hub.toml'}, then run: seawall-hub serve --data {data}")
    else:
        typer.echo(f"{data} is whole already: nothing was changed.")


@app.command(epilog="Example: seawall-hub serve --data /var/lib/seawall-hub")
def serve(data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Runs the hub until Ctrl-C or SIGTERM."""
    from hub.serving import serve_until_stopped  # here, since it takes a second that the other commands need not wait

    folder = DataFolder(data)
    settings = load(config or folder.config)
    api_keys = read_api_keys(settings, os.environ)
    logs.configure(sys.stderr)
    os.umask(0o077)  # the database is nobody else's business
    asyncio.run(serve_until_stopped(folder, settings, api_keys, typer.echo, Systemd.of(os.environ)))


@app.command(epilog="Example: seawall-hub join-token --ttl 15m")
def join_token(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    ttl: tokens.Ttl = "1h",
) -> None:
    """Prints a token that enrols one agent, once: short for seawall-hub tokens create. The hub must be running."""
    tokens.create_token(data, config, ttl)


@app.command("backup", epilog="Example: seawall-hub backup hub-2026-11-21.tar.gz")
def back_up_folder(
    file: Annotated[Path, typer.Argument(help="The backup, which must not be there yet.", dir_okay=False)],
    data: Data = DEFAULT_DATA,
    config: Config = None,
) -> None:
    """Writes database, keys and settings into one file, while the hub runs, and checks it. Keep it as safe as the keys that are in it."""
    folder = DataFolder(data)
    database_url = load(config or folder.config).database_url or folder.database_url
    typer.echo(f"{file} holds {backup.back_up(folder, database_url, file)} agents.")


@app.command("restore", epilog="Example: seawall-hub restore hub-2026-11-21.tar.gz --data /var/lib/seawall-hub")
def restore_folder(file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)], data: Data = DEFAULT_DATA) -> None:
    """Puts a backup into an empty data folder, from which a hub can be served.

    The database goes where the backup's hub.toml says, or where SEAWALL_HUB_DATABASE_URL does; it must be empty. That is also the way from
    SQLite to PostgreSQL.
    """
    agents = backup.restore(file, DataFolder(data), lambda folder: load(folder.config).database_url)
    typer.echo(f"{data} holds {agents} agents. Next: seawall-hub serve --data {data}")


def main(run: Callable[[], None] = app) -> None:
    """The script. Errors are one line, never a traceback."""
    try:
        run()
    except SeawallError as error:
        typer.echo(f"error: {error.message}", err=True)
        raise SystemExit(1) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try once more at its end, and complain
        typer.echo(f"error: It cannot be written: {error.strerror}. Make room, or write elsewhere.", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
