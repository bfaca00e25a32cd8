"""seawall-hub rollouts."""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.live import Live

from contract.errors import InvalidRequest, Reason
from hub.config import DEFAULT_DATA
from hub.console.options import Config, Data, Output, Shown, minute, print_all, print_one, reach
from hub.console.rollout_plans import limit_failures, put_together, read_file
from hub.console.rollout_views import agent_row, state_of, summary, table
from seawall.hub.v1 import rollout_pb2

app = typer.Typer(help="New versions of models on their way to the fleet, in waves.", no_args_is_help=True)

RolloutId = Annotated[str, typer.Argument(help="The rollout's id, such as june.")]
Why = Annotated[str, typer.Option("--reason", help="Kept in the event, and shown.")]
Etag = Annotated[str, typer.Option("--etag", help="As rollouts get shows it: refused if the rollout has changed since. [default: any]")]
INTERRUPTED = 130


@app.command(
    "create",
    epilog="Example: seawall-hub rollouts create june --version models/x/versions/2.0.0 "
    "--wave 'labels.site = oslo; soak=1h' --wave 'percent=50, soak=1d' --wave approve",
)
def create_rollout(
    rollout: RolloutId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    version: Annotated[str, typer.Option("--version", help="What to bring: models/MODEL/versions/VERSION, published before.")] = "",
    expression: Annotated[str, typer.Option("--expression", help="Which agents at all, such as 'labels.site = oslo'. [default: all]")] = "",
    wave: Annotated[
        list[str] | None,
        typer.Option(
            help="A filter, then percent=N, soak=1h, patience=1h, approve; may be repeated. [default: a canary of 10 %, an hour, then all]"
        ),
    ] = None,
    window: Annotated[
        list[str] | None, typer.Option(help="When agents may be chosen, in UTC: 'mon-fri 22:00-06:00'; may be repeated.")
    ] = None,
    max_failed: Annotated[int | None, typer.Option(help="So many agents of a wave may fail. [default: 0]", min=0)] = None,
    max_failed_share: Annotated[
        float | None, typer.Option(help="Such a share of a wave may fail, 0 to 1. [default: 0]", min=0, max=1)
    ] = None,
    max_learned_negative_share_rise: Annotated[
        float | None,
        typer.Option(
            help="The share of answers that people call bad may rise by so much, 0 to 1, by the newest learning report of a week that has "
            "ended since the wave began; let the wave soak for more than a week. [default: not looked at]",
            min=0,
            max=1,
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="All of it, .toml or .json; options go before.", exists=True)] = None,
    output: Shown = Output.TABLE,
) -> None:
    """Begins a rollout: wave by wave, each proven by its agents before the next begins."""
    written = rollout_pb2.Rollout() if file is None else read_file(file)
    wanted = put_together(written, version, expression, wave or [], window or [])
    limit_failures(wanted.gates, max_failed, max_failed_share)
    if max_learned_negative_share_rise is not None:
        wanted.gates.max_learned_negative_share_rise = max_learned_negative_share_rise
    request = rollout_pb2.CreateRolloutRequest(rollout_id=rollout, rollout=wanted, request_id=str(uuid.uuid4()))
    with reach(data, config) as operator:
        made = operator.call(operator.rollouts.CreateRollout, request)
    _print(made, output)
    if output is Output.TABLE:
        typer.echo(f"To see it move: seawall-hub rollouts watch {rollout}")


@app.command("list", epilog="Example: seawall-hub rollouts list")
def list_rollouts(data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Lists rollouts, the newest first."""
    with reach(data, config) as operator:
        found = operator.pages(operator.rollouts.ListRollouts, rollout_pb2.ListRolloutsRequest(page_size=100), "rollouts")
    rows = [
        (one.name, one.model_version, state_of(one), f"{one.current_wave} of {len(one.waves)}", minute(one.create_time), one.state_reason)
        for one in found
    ]
    print_all(found, output, ("Rollout", "Version", "State", "Waves through", "Made", "Why"), rows, "times in UTC")


@app.command("get", epilog="Example: seawall-hub rollouts get june")
def get_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows one rollout and how far its waves are."""
    with reach(data, config) as operator:
        found = operator.call(operator.rollouts.GetRollout, rollout_pb2.GetRolloutRequest(name=f"rollouts/{rollout}"))
    _print(found, output)


@app.command("agents", epilog="Example: seawall-hub rollouts agents june --state REFUSED")
def list_agents(
    rollout: RolloutId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    state: Annotated[list[str] | None, typer.Option(help="Those that report this, such as PROVEN; may be repeated. [default: all]")] = None,
    output: Shown = Output.TABLE,
) -> None:
    """Lists the agents that a rollout has chosen, and what each says."""
    request = rollout_pb2.ListRolloutAgentsRequest(parent=f"rollouts/{rollout}", page_size=1000, states=_read_states(state or []))
    with reach(data, config) as operator:
        found = operator.pages(operator.rollouts.ListRolloutAgents, request, "rollout_agents")
    rows = [agent_row(one) for one in found]
    print_all(found, output, ("Agent", "Wave", "State", "What it says", "Said"), rows, f"{len(found)} agents; times in UTC")


@app.command("watch", epilog="Example: seawall-hub rollouts watch june --output json")
def watch_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows a rollout as it moves, until it ends or Ctrl-C: a live table on a terminal, else a line a change."""
    console = Console()
    with reach(data, config) as operator:
        seen = operator.stream(operator.rollouts.WatchRollout, rollout_pb2.WatchRolloutRequest(name=f"rollouts/{rollout}"))
        try:
            if output is Output.TABLE and console.is_terminal:
                _show_live(seen, console)
            else:
                for one in seen:
                    typer.echo(json.dumps(MessageToDict(one)) if output is Output.JSON else summary(one))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


@app.command("pause", epilog="Example: seawall-hub rollouts pause june --reason 'complaints from Oslo'")
def pause_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, reason: Why = "", etag: Etag = "") -> None:
    """Chooses no more agents until it is resumed. Those that are chosen go on."""
    _move("PauseRollout", rollout_pb2.PauseRolloutRequest(name=f"rollouts/{rollout}", reason=reason, etag=etag), data, config)


@app.command("resume", epilog="Example: seawall-hub rollouts resume june")
def resume_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, reason: Why = "", etag: Etag = "") -> None:
    """Goes on; what had paused it by itself is forgiven."""
    _move("ResumeRollout", rollout_pb2.ResumeRolloutRequest(name=f"rollouts/{rollout}", reason=reason, etag=etag), data, config)


@app.command("approve", epilog="Example: seawall-hub rollouts approve june --wave 1")
def approve_rollout(
    rollout: RolloutId,
    wave: Annotated[int, typer.Option("--wave", help="The wave that may begin, from 0, as rollouts get shows it.", min=0)],
    data: Data = DEFAULT_DATA,
    config: Config = None,
    reason: Why = "",
    etag: Etag = "",
) -> None:
    """Lets the wave begin that waits for a person."""
    request = rollout_pb2.ApproveRolloutRequest(name=f"rollouts/{rollout}", wave=wave, reason=reason, etag=etag)
    _move("ApproveRollout", request, data, config)


@app.command("cancel", epilog="Example: seawall-hub rollouts cancel june")
def cancel_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, reason: Why = "", etag: Etag = "") -> None:
    """Ends it where it stands: who serves the version keeps it, nobody else gets it."""
    _move("CancelRollout", rollout_pb2.CancelRolloutRequest(name=f"rollouts/{rollout}", reason=reason, etag=etag), data, config)


@app.command("roll-back", epilog="Example: seawall-hub rollouts roll-back june --reason 'bad answers'")
def roll_back_rollout(rollout: RolloutId, data: Data = DEFAULT_DATA, config: Config = None, reason: Why = "", etag: Etag = "") -> None:
    """Has every agent that took the version go back to what it served before; those that are off do when they return."""
    _move("RollBackRollout", rollout_pb2.RollBackRolloutRequest(name=f"rollouts/{rollout}", reason=reason, etag=etag), data, config)


def _move(method: str, request: Any, data: Path, config: Path | None) -> None:
    with reach(data, config) as operator:
        typer.echo(summary(operator.call(getattr(operator.rollouts, method), request)))


def _show_live(seen: Iterable[rollout_pb2.Rollout], console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for one in seen:
            live.update(table(one), refresh=True)


def _print(rollout: rollout_pb2.Rollout, output: Output) -> None:
    if output is Output.JSON:
        print_one(rollout, output)
    else:
        Console().print(table(rollout))


def _read_states(names: Iterable[str]) -> list[rollout_pb2.ReleaseReport.State.ValueType]:
    states = rollout_pb2.ReleaseReport.State
    wanted = [name.upper().replace("-", "_") for name in names]
    if unknown := [name for name in wanted if name not in states.keys()[1:]]:
        raise InvalidRequest(Reason.FIELD_INVALID, f"There is no state '{unknown[0][:40]}': use {', '.join(states.keys()[1:])}.")
    return [states.Value(name) for name in wanted]
