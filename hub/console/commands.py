"""seawall-hub commands."""

import time
import uuid
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from contract.errors import NotPossibleNow, Reason
from hub.config import DEFAULT_DATA
from hub.console.options import AgentId, Config, Data, Output, Shown, minute, parse_duration, print_all, print_one, reach
from hub.operator import Operator
from seawall.hub.v1 import command_pb2

app = typer.Typer(help="Things that agents are told to do once.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="As seawall-hub commands list shows it: agents/ID/commands/ID.")]

POLL_SECONDS = 0.5
ENDED = ("SUCCEEDED", "FAILED", "EXPIRED", "CANCELLED")


class Action(StrEnum):
    """What an agent can be told."""

    RESTART = "restart"
    RUN_DOCTOR = "run-doctor"
    FETCH_LOGS = "fetch-logs"
    FORGET_ANSWERS = "forget-answers"
    PROVE_RECEIPTS = "prove-receipts"


@app.command("send", epilog="Example: seawall-hub commands send plant-7 run-doctor --wait")
def send_command(
    agent: AgentId,
    action: Annotated[Action, typer.Argument(help="What it is to do.")],
    data: Data = DEFAULT_DATA,
    config: Config = None,
    lines: Annotated[int, typer.Option(help="Of fetch-logs, at most; of prove-receipts, how many receipts. [default: 200; 10]")] = 0,
    ttl: Annotated[str, typer.Option(help="Until when it must have begun: a number and s, m, h or d; at most 30d.")] = "1d",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result; it fails where the command fails.")] = False,
    output: Shown = Output.TABLE,
) -> None:
    """Tells an agent to do something: now, or when it is there again."""
    lifetime = Duration()
    lifetime.FromTimedelta(parse_duration(ttl))
    wanted = command_pb2.Command(action=command_pb2.Command.Action.Value(action.name), log_lines=lines)
    request = command_pb2.CreateCommandRequest(parent=f"agents/{agent}", command=wanted, ttl=lifetime, request_id=str(uuid.uuid4()))
    with reach(data, config) as operator:
        made = operator.call(operator.commands.CreateCommand, request)
        command = wait_for(operator, made.name) if wait else made
    print_one(command, output)
    if wait and command.state != command_pb2.Command.SUCCEEDED:
        raise NotPossibleNow(Reason.COMMAND_BEGUN, f"The command is {command_pb2.Command.State.Name(command.state)}.")


@app.command("list", epilog="Example: seawall-hub commands list --agent plant-7")
def list_commands(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    agent: Annotated[str, typer.Option(help="Whose. [default: of all agents]")] = "-",
    output: Shown = Output.TABLE,
) -> None:
    """Lists commands, the newest first."""
    request = command_pb2.ListCommandsRequest(parent=f"agents/{agent}", page_size=1000)
    with reach(data, config) as operator:
        found = operator.pages(operator.commands.ListCommands, request, "commands")
    print_all(found, output, ("Command", "Action", "State", "Made"), [_row(command) for command in found], "times in UTC")


@app.command("get", epilog="Example: seawall-hub commands get agents/plant-7/commands/0b7c9c1e-7f1c-4f0e-9d55-0d5a1a0d8f11")
def get_command(name: Name, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows one command, with its result."""
    with reach(data, config) as operator:
        print_one(operator.call(operator.commands.GetCommand, command_pb2.GetCommandRequest(name=name)), output)


@app.command("cancel", epilog="Example: seawall-hub commands cancel agents/plant-7/commands/0b7c9c1e-7f1c-4f0e-9d55-0d5a1a0d8f11")
def cancel_command(name: Name, data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Takes back a command that the agent has not begun."""
    with reach(data, config) as operator:
        operator.call(operator.commands.CancelCommand, command_pb2.CancelCommandRequest(name=name))
    typer.echo(f"{name} is cancelled.")


def wait_for(operator: Operator, name: str) -> command_pb2.Command:
    """Returns a command once it has ended."""
    while True:
        command: command_pb2.Command = operator.call(operator.commands.GetCommand, command_pb2.GetCommandRequest(name=name))
        if command_pb2.Command.State.Name(command.state) in ENDED:
            return command
        time.sleep(POLL_SECONDS)


def _row(command: command_pb2.Command) -> tuple[str, ...]:
    action, state = command_pb2.Command.Action.Name(command.action), command_pb2.Command.State.Name(command.state)
    return command.name, action, state, minute(command.create_time)
