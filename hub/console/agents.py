"""seawall-hub agents."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from hub.config import DEFAULT_DATA
from hub.console.options import AgentId, Config, Data, Output, Shown, minute, print_all, print_one, reach, read_changes, written
from seawall.hub.v1 import agent_pb2

app = typer.Typer(help="The enrolled agents.", no_args_is_help=True)

Why = Annotated[str, typer.Option("--reason", help="Kept in the event.")]


@app.command("list", epilog="Example: seawall-hub agents list --filter 'labels.site = oslo AND connected = false' --output json")
def list_agents(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    output: Shown = Output.TABLE,
    chosen: Annotated[str, typer.Option("--filter", help="Over name, state, connected and labels.KEY. [default: all]")] = "",
) -> None:
    """Lists the enrolled agents. The hub must be running."""
    with reach(data, config) as operator:
        agents = list(operator.list_agents(chosen))
    heads = ("Agent", "State", "Connected", "Last seen", "Labels", "Configuration", "Certificate until")
    print_all(agents, output, heads, [_row(agent) for agent in agents], f"{len(agents)} enrolled; times in UTC")


@app.command("get", epilog="Example: seawall-hub agents get plant-7")
def get_agent(agent: AgentId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows one agent."""
    with reach(data, config) as operator:
        found = operator.call(operator.agents.GetAgent, agent_pb2.GetAgentRequest(name=f"agents/{agent}"))
    print_one(found, output)


@app.command("label", epilog="Example: seawall-hub agents label plant-7 site=oslo line-")
def label_agent(
    agent: AgentId,
    labels: Annotated[list[str], typer.Argument(help="KEY=VALUE sets a label, KEY- takes it away.")],
    data: Data = DEFAULT_DATA,
    config: Config = None,
    output: Shown = Output.TABLE,
) -> None:
    """Changes an agent's labels; the others stay."""
    given, taken = read_changes(labels)
    with reach(data, config) as operator:
        found = operator.call(operator.agents.GetAgent, agent_pb2.GetAgentRequest(name=f"agents/{agent}"))
        after = {key: value for key, value in (dict(found.labels) | given).items() if key not in taken}
        wanted = agent_pb2.Agent(name=found.name, labels=after, etag=found.etag)
        request = agent_pb2.UpdateAgentRequest(agent=wanted, update_mask=FieldMask(paths=["labels"]))
        print_one(operator.call(operator.agents.UpdateAgent, request), output)


@app.command("suspend", epilog="Example: seawall-hub agents suspend plant-7 --reason 'stolen on Tuesday'")
def suspend_agent(agent: AgentId, data: Data = DEFAULT_DATA, config: Config = None, reason: Why = "") -> None:
    """Shuts an agent out, until it is resumed. Its streams end at once."""
    with reach(data, config) as operator:
        operator.call(operator.agents.SuspendAgent, agent_pb2.SuspendAgentRequest(name=f"agents/{agent}", reason=reason))
    typer.echo(f"{agent} is suspended. To let it in again: seawall-hub agents resume {agent}")


@app.command("resume", epilog="Example: seawall-hub agents resume plant-7")
def resume_agent(agent: AgentId, data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Lets a suspended agent in again."""
    with reach(data, config) as operator:
        operator.call(operator.agents.ResumeAgent, agent_pb2.ResumeAgentRequest(name=f"agents/{agent}"))
    typer.echo(f"{agent} is let in again.")


@app.command("retire", epilog="Example: seawall-hub agents retire plant-7 --reason scrapped --yes")
def retire_agent(
    agent: AgentId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    reason: Why = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Shuts an agent out for good. Its name may be enrolled anew."""
    if not yes:
        typer.confirm(f"Retire {agent} for good?", abort=True)
    with reach(data, config) as operator:
        operator.call(operator.agents.RetireAgent, agent_pb2.RetireAgentRequest(name=f"agents/{agent}", reason=reason))
    typer.echo(f"{agent} is retired.")


def _row(agent: agent_pb2.Agent) -> tuple[str, ...]:
    seen = minute(agent.last_seen_time) if agent.HasField("last_seen_time") else "never"
    applied = "refused" if agent.refusal else "applied" if agent.applied_generation == agent.desired_generation else "not applied yet"
    return (
        agent.name,
        agent_pb2.Agent.State.Name(agent.state),
        "yes" if agent.connected else "no",
        seen,
        written(agent.labels),
        applied,
        minute(agent.certificate_expire_time),
    )
