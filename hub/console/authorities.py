"""seawall-hub ca: the certificate authority, and how it is replaced."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import NotPossibleNow, Reason, Unavailable
from hub import rotation
from hub.clock import utc_now
from hub.config import DEFAULT_DATA, Settings, load
from hub.console.options import Config, Data, reach
from hub.fleet.authorities import Trust
from hub.folder import DataFolder
from hub.rotation import no_rotation
from seawall.hub.v1 import agent_pb2

app = typer.Typer(help="The certificate authority, and how it is replaced.", no_args_is_help=True)

MOST_NAMED = 20

WAITS = 20
WAIT_SECONDS = 0.5
"""A running hub is given so long, so many times, to take up what has changed."""


@app.command("rotate", epilog="Example: seawall-hub ca rotate")
def rotate(data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Makes a new certificate authority, which issues from now on. The old one stays trusted until it is finished.

    A running hub takes it up within seconds, and its agents renew their certificates within minutes.
    """
    folder, settings, trust = _open(data, config)
    limits, runs = settings.limits, _answers(data, config)
    after = rotation.rotate(folder, trust, timedelta(days=limits.agent_certificate_days + limits.recovery_days))
    typer.echo(f"The CA {_short(after)} issues from now on; the one before it is still trusted.")
    if runs:
        _wait_until_taken_up(data, config)
    typer.echo("Next: seawall-hub backup; then seawall-hub ca status, until no agent is left; then seawall-hub ca finish")


@app.command("status", epilog="Example: seawall-hub ca status")
def status(data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Says which CA issues, and which agents still have a certificate of the outgoing one. The hub must be running."""
    _, _, trust = _open(data, config)
    typer.echo(f"The CA {_short(trust)} issues, until {trust.issuer.certificate.not_valid_after_utc:%Y-%m-%d}.")
    if not trust.outgoing:
        typer.echo("It alone is trusted: no rotation is under way.")
        return
    left = _left(data, config, trust)
    typer.echo(f"The one before it is trusted as well. Agents with a certificate of it: {len(left)}.")
    for agent in left:
        typer.echo(_line(agent))
    typer.echo("They renew by themselves when they have a session." if left else "Next: seawall-hub ca finish")


@app.command("finish", epilog="Example: seawall-hub ca finish")
def finish(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="Without looking which agents still have a certificate of it.")] = False,
) -> None:
    """Trusts the outgoing CA no more. Refused while agents have a certificate of it. The hub must be running, but with --force."""
    folder, _, trust = _open(data, config)
    if not trust.outgoing:
        raise no_rotation()
    left = [] if force else _left(data, config, trust)
    if left:
        named = "\n".join(_line(agent) for agent in left[:MOST_NAMED])
        more = f"\n  and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        raise NotPossibleNow(
            Reason.CONFIG_INVALID,
            f"{len(left)} agents have a certificate of the outgoing CA:\n{named}{more}\n"
            "Connect them and wait, retire them, or leave them behind with --force: they come back by recovery.",
        )
    after = rotation.finish(folder, trust)
    typer.echo(f"The CA {_short(after)} alone is trusted. Join tokens from before the rotation are good no more.")
    typer.echo("Next: seawall-hub backup")


def _open(data: Path, config: Path | None) -> tuple[DataFolder, Settings, Trust]:
    folder = DataFolder(data)
    folder.settle()
    settings = load(config or folder.config)
    return folder, settings, folder.load_trust(settings.trust_domain, utc_now)


def _answers(data: Path, config: Path | None) -> bool:
    """Says whether a hub runs that takes the operator's certificate."""
    try:
        with reach(data, config) as operator:
            operator.call(operator.agents.ListAgents, agent_pb2.ListAgentsRequest(page_size=1))
    except Unavailable:
        return False
    return True


def _wait_until_taken_up(data: Path, config: Path | None) -> None:
    for _ in range(WAITS):
        if _answers(data, config):
            typer.echo("The running hub has taken it up.")
            return
        time.sleep(WAIT_SECONDS)
    typer.echo("The running hub has not taken it up: look at its log, and restart it.", err=True)


def _left(data: Path, config: Path | None, trust: Trust) -> Sequence[agent_pb2.Agent]:
    """The agents that would be shut out: all but the retired, for the suspended may be resumed."""
    chosen = f"state != RETIRED AND certificate_issuer != {trust.key_hashes[0]}"
    with reach(data, config) as operator:
        return operator.list_agents(chosen)


def _line(agent: agent_pb2.Agent) -> str:
    seen = f"last seen {agent.last_seen_time.ToDatetime():%Y-%m-%d %H:%M} UTC" if agent.HasField("last_seen_time") else "never seen"
    until = f"certificate until {agent.certificate_expire_time.ToDatetime():%Y-%m-%d}"
    return f"  {agent.name}  {'connected' if agent.connected else seen}, {until}"


def _short(trust: Trust) -> str:
    return trust.key_hashes[0][:16]
