"""The command line: run | enroll | status | doctor | update | policy | learning | ask | receipts | forget."""

import asyncio
import json
import os
import sqlite3
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from agent import receipts_command
from agent.config import AgentSettings
from agent.config_file import load_settings
from agent.daemon import run_agent
from agent.doctor import examine, now_utc
from agent.forget_command import EXAMPLE as FORGET_EXAMPLE
from agent.forget_command import forget
from agent.identity.attempts import Attempts
from agent.identity.enrollment import enroll as enroll_device
from agent.learning.commands import app as learning_app
from agent.local_client import LocalClient
from agent.logs import set_up_logs
from agent.options import Config, print_table
from agent.policies.commands import app as policy_app
from agent.state import StateFolder
from agent.update_command import EXAMPLE, update
from contract.errors import SeawallError

KEY_VARIABLE = "SEAWALL_API_KEY"

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
_errors = Console(stderr=True)
_out = Console(width=None if sys.stdout.isatty() else 200)  # a pipe has no edge to wrap at


def _show_version(wanted: bool) -> None:
    if wanted:
        _out.print(f"seawall-agent {version('seawall')}")
        raise typer.Exit


@app.callback()
def _agent(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Answers LLM prompts on this device; what may not leave the site, stays."""
    del show_version


@app.command(epilog="Example: seawall-agent run -c agent.toml")
def run(
    config: Config = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error. Example: --log-level debug")] = "info",
) -> None:
    """Run the agent until Ctrl-C or SIGTERM."""
    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("write debug, info, warning or error", param_hint="--log-level")
    logs = set_up_logs(log_level)
    raise typer.Exit(asyncio.run(run_agent(load_settings(config), logs)))


@app.command(epilog="Example: seawall-agent enroll TOKEN --hub hub.example.org")
def enroll(
    token: Annotated[str, typer.Argument(help="The join token that the hub's operator gave you; '-' reads it from standard input.")],
    hub: Annotated[str, typer.Option(help="The hub's host. Example: --hub hub.example.org")] = "localhost",
    enrollment_port: Annotated[int, typer.Option(min=1, max=65535, help="Of the hub's enrolment listener.")] = 7443,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the hub's listener for enrolled agents.")] = 7444,
    again: Annotated[bool, typer.Option("--again", help="Take a new identity in place of the one that is there.")] = False,
    config: Config = None,
) -> None:
    """Enrol this device with a hub."""
    settings = load_settings(config)
    folder = StateFolder(settings.state_folder).identity
    if folder.enrolled and not again:
        _out.print(f"Enrolled already as agents/{folder.read().agent_id}; --again takes a new identity.")
        return
    text = sys.stdin.readline() if token == "-" else token
    attempts = Attempts(folder.path)
    identity = enroll_device(text, f"{hub}:{enrollment_port}", f"{hub}:{port}", settings.agent_id, attempts.begin)
    folder.write(identity)
    attempts.end()
    _out.print(
        f"Enrolled as agents/{identity.agent_id} with {hub}, until {identity.expire_time:%Y-%m-%d}. A running agent needs a restart."
    )


@app.command(epilog="Example: seawall-agent status --json")
def status(config: Config = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what the running agent says of itself."""
    health = _client(load_settings(config)).health()
    if as_json:
        print(json.dumps(health))
    else:
        print_table(_out, ("what", "is"), [(name, str(value)) for name, value in health.items()])
    raise typer.Exit(0 if health.get("ok") else 1)


@app.command(epilog="Example: seawall-agent doctor")
def doctor(config: Config = None) -> None:
    """Look for what is wrong, and say what to do."""
    settings = load_settings(config)
    sound = True
    for finding in examine(settings, now_utc()):
        sound &= finding.ok
        mark = "[green]ok[/green]   " if finding.ok else "[red]wrong[/red]"
        _out.print(f"{mark} [bold]{finding.name}[/bold]:", end=" ")
        _out.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if sound else 1)


app.command(epilog=EXAMPLE)(update)
app.command(epilog=FORGET_EXAMPLE)(forget)
app.add_typer(policy_app, name="policy")
app.add_typer(learning_app, name="learning")


@app.command(epilog="Example: seawall-agent ask 'What is the boiling point of water?'")
def ask(
    prompt: Annotated[str, typer.Argument(help="What to ask; '-' reads standard input.")],
    conversation: Annotated[str | None, typer.Option(help="Go on with a conversation of this id. Example: --conversation tea")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer and its receipt as JSON.")] = False,
    config: Config = None,
) -> None:
    """Ask the running agent.

    Where the agent asks for an API key, it is read from $SEAWALL_API_KEY.
    """
    text, receipt = "", None
    for chunk in _client(load_settings(config)).ask(sys.stdin.read() if prompt == "-" else prompt, conversation):
        piece = "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
        receipt = chunk.get("seawall", receipt)
        text += piece
        if not as_json:
            print(piece, end="", flush=True)
    if as_json:
        print(json.dumps({"answer": text, "receipt": receipt}))
    else:
        print()
        if receipt is not None:
            _errors.print(
                f"[dim]{receipt['route']}: {', '.join(receipt['reasons'])} · {receipt['milliseconds']:.0f} ms[/dim]", highlight=False
            )


app.add_typer(receipts_command.app, name="receipts")


def _client(settings: AgentSettings) -> LocalClient:
    return LocalClient(settings.http, os.environ.get(KEY_VARIABLE))


def main() -> None:
    """Runs the command line; every expected error is one line and an exit status: 1 for the world, 75 to be restarted, 130 for Ctrl-C."""
    try:
        app()
    except SeawallError as error:
        _fail(error.message)
    except sqlite3.DatabaseError as error:
        _fail(f"The store cannot be used: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    _errors.print(f"[red]error:[/red] {message}", highlight=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
