"""seawall-hub audit challenge."""

import uuid
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from contract import challenge
from contract.errors import NotPossibleNow, Reason
from contract.tree_heads import TreeHead
from hub.audit.messages import read_head
from hub.config import DEFAULT_DATA
from hub.console.commands import wait_for
from hub.console.options import AgentId, Config, Data, plain, reach
from hub.operator import Operator
from seawall.hub.v1 import audit_pb2, command_pb2

PATIENCE_SECONDS = 300
"""An agent that has not begun by then is not there."""


def challenge_agent(
    agent: AgentId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    count: Annotated[int, typer.Option(help="How many receipts.", min=1, max=challenge.MOST_LEAVES)] = challenge.USUAL_LEAVES,
) -> None:
    """Has a connected agent prove that receipts, drawn by chance, are in the log that was witnessed. Exit status 1 where it cannot."""
    command = command_pb2.Command(action=command_pb2.Command.PROVE_RECEIPTS, log_lines=count)
    request = command_pb2.CreateCommandRequest(
        parent=f"agents/{agent}", command=command, ttl=Duration(seconds=PATIENCE_SECONDS), request_id=str(uuid.uuid4())
    )
    with reach(data, config) as operator:
        before = _witnessed(operator, agent)
        ended = wait_for(operator, operator.call(operator.commands.CreateCommand, request).name)
        after = _witnessed(operator, agent)
    if ended.state != command_pb2.Command.SUCCEEDED:
        state = command_pb2.Command.State.Name(ended.state)
        raise NotPossibleNow(Reason.COMMAND_BEGUN, f"{agent} has proven nothing ({state}): {plain(ended.error) or 'is it connected?'}")
    found = [list(challenge.faults(ended.output, ended.name, count, head)) for head in (after, before)]
    faults = [] if [] in found else found[0]
    for fault in faults:
        typer.echo(f"{agent}: {fault}")
    if faults:
        raise typer.Exit(1)
    typer.echo(f"{agent}: {len(ended.output.splitlines()) - 1} receipts are in the log of {after.size} that was witnessed.")


def _witnessed(operator: Operator, agent: str) -> TreeHead:
    found = operator.call(operator.audit.GetTreeHead, audit_pb2.GetTreeHeadRequest(name=f"agents/{agent}"))
    if not found.HasField("tree_head"):
        raise NotPossibleNow(Reason.LOG_NOT_SIGNED, f"Nothing of the log of {agent} was witnessed yet: ask again in six minutes.")
    return read_head(found.tree_head).head
