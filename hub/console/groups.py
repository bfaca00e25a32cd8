"""seawall-hub groups, and seawall-hub config."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from contract.errors import InvalidRequest, Reason
from hub.config import DEFAULT_DATA
from hub.console.options import Config, Data, GroupId, Output, Shown, minute, print_all, print_one, reach, read_changes
from hub.operator import Operator
from seawall.hub.v1 import group_pb2

app = typer.Typer(help="Groups of agents, chosen by their labels.", no_args_is_help=True)
config_app = typer.Typer(help="What is wanted of a group's agents. It can only narrow what they do.", no_args_is_help=True)

Expression = Annotated[str | None, typer.Option("--expression", help="Which agents, such as 'labels.site = oslo'. Empty: all.")]
Priority = Annotated[int | None, typer.Option("--priority", help="Where groups differ, the higher one wins.")]


@app.command("list", epilog="Example: seawall-hub groups list")
def list_groups(data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Lists groups in the order in which they are applied: the later one wins."""
    with reach(data, config) as operator:
        groups = operator.pages(operator.groups.ListGroups, group_pb2.ListGroupsRequest(page_size=1000), "groups")
    rows = [(group.name, str(group.priority), group.expression or "(all agents)", _settings(group)) for group in groups]
    print_all(groups, output, ("Group", "Priority", "Agents", "Wants"), rows)


@app.command("get", epilog="Example: seawall-hub groups get oslo")
def get_group(group: GroupId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows one group."""
    with reach(data, config) as operator:
        print_one(_get(operator, group), output)


@app.command("create", epilog="Example: seawall-hub groups create oslo --expression 'labels.site = oslo' --priority 10")
def create_group(
    group: GroupId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    expression: Expression = None,
    priority: Priority = None,
    output: Shown = Output.TABLE,
) -> None:
    """Makes a group. It wants nothing until seawall-hub config set says what."""
    wanted = group_pb2.Group(expression=expression or "", priority=priority or 0)
    request = group_pb2.CreateGroupRequest(group_id=group, group=wanted, request_id=str(uuid.uuid4()))
    with reach(data, config) as operator:
        print_one(operator.call(operator.groups.CreateGroup, request), output)


@app.command("update", epilog="Example: seawall-hub groups update oslo --priority 20")
def update_group(
    group: GroupId,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    expression: Expression = None,
    priority: Priority = None,
    output: Shown = Output.TABLE,
) -> None:
    """Changes which agents a group has, or its priority."""
    given = {name: value for name, value in (("expression", expression), ("priority", priority)) if value is not None}
    if not given:
        raise InvalidRequest(Reason.FIELD_INVALID, "Nothing is to be changed: give --expression or --priority.")
    wanted = ParseDict(given, group_pb2.Group(name=f"groups/{group}"))
    request = group_pb2.UpdateGroupRequest(group=wanted, update_mask=FieldMask(paths=list(given)))
    with reach(data, config) as operator:
        print_one(operator.call(operator.groups.UpdateGroup, request), output)


@app.command("quota", epilog="Example: seawall-hub groups quota oslo escalations_per_day=500 tokens_per_day-")
def group_quota(
    group: GroupId,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="escalations_per_day=N, tokens_per_day=N; with - in the place of =N: no limit. [default: change nothing]"),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: Config = None,
    output: Shown = Output.TABLE,
) -> None:
    """Limits what a group's agents may escalate in a day, together, and shows what they have. Days begin at midnight in UTC."""
    changes = read_changes(words or [])
    with reach(data, config) as operator:
        found = _get(operator, group)
        if words:
            _change(found.quota, *changes, "groups quota")
            wanted = group_pb2.Group(name=found.name, quota=found.quota, etag=found.etag)
            request = group_pb2.UpdateGroupRequest(group=wanted, update_mask=FieldMask(paths=["quota"]))
            found = operator.call(operator.groups.UpdateGroup, request)
    if output is Output.JSON:
        print_one(found, output)
    else:
        print_all([found], output, ("Of all agents together", "Today", "At most"), _quota_rows(found), _quota_caption(found))


@app.command("delete", epilog="Example: seawall-hub groups delete oslo")
def delete_group(group: GroupId, data: Data = DEFAULT_DATA, config: Config = None) -> None:
    """Deletes a group; its agents stay."""
    with reach(data, config) as operator:
        operator.call(operator.groups.DeleteGroup, group_pb2.DeleteGroupRequest(name=f"groups/{group}"))
    typer.echo(f"groups/{group} is deleted.")


@config_app.command("set", epilog="Example: seawall-hub config set oslo floor=internal escalation_disabled=true trust_bar-")
def set_config(
    group: GroupId,
    changes: Annotated[
        list[str],
        typer.Argument(
            help="KEY=VALUE wants something, KEY- wants it no more. Keys: escalation_disabled, cache_disabled, floor, trust_bar, "
            "max_output_tokens, log_level."
        ),
    ],
    data: Data = DEFAULT_DATA,
    config: Config = None,
    output: Shown = Output.TABLE,
) -> None:
    """Changes what is wanted of a group's agents."""
    given, taken = read_changes(changes)
    with reach(data, config) as operator:
        found = _get(operator, group)
        _change(found.configuration, given, taken, "config set")
        wanted = group_pb2.Group(name=found.name, etag=found.etag, configuration=found.configuration)
        request = group_pb2.UpdateGroupRequest(group=wanted, update_mask=FieldMask(paths=["configuration"]))
        print_one(operator.call(operator.groups.UpdateGroup, request), output)


@config_app.command("get", epilog="Example: seawall-hub config get oslo")
def get_config(group: GroupId, data: Data = DEFAULT_DATA, config: Config = None, output: Shown = Output.TABLE) -> None:
    """Shows what is wanted of a group's agents."""
    with reach(data, config) as operator:
        print_one(_get(operator, group).configuration, output)


def _get(operator: Operator, group: str) -> group_pb2.Group:
    found: group_pb2.Group = operator.call(operator.groups.GetGroup, group_pb2.GetGroupRequest(name=f"groups/{group}"))
    return found


def _change(message: Message, given: Mapping[str, str], taken: Sequence[str], command: str) -> None:
    """Sets fields and takes others away.

    Args:
        message: which changes.
        given: values of fields, as typed.
        taken: names of fields.
        command: whose help says more.
    """
    names = message.DESCRIPTOR.fields_by_name
    if unknown := [name for name in (*given, *taken) if name not in names]:
        raise InvalidRequest(Reason.FIELD_UNKNOWN, f"There is no '{unknown[0][:40]}': use {', '.join(names)}.")
    for name in taken:
        message.ClearField(name)
    words = {"true": True, "false": False}
    try:
        ParseDict({name: words.get(value, value) for name, value in given.items()}, message)
    except ParseError as error:
        raise InvalidRequest(Reason.FIELD_INVALID, f"That cannot be wanted: {error}. See: seawall-hub {command} --help") from error


def _quota_rows(group: group_pb2.Group) -> list[tuple[str, str, str]]:
    quota, usage = group.quota, group.quota_usage
    return [
        (
            "escalations",
            f"{usage.escalations:,}",
            f"{quota.escalations_per_day:,}" if quota.HasField("escalations_per_day") else "no limit",
        ),
        ("tokens", f"{usage.tokens:,}", f"{quota.tokens_per_day:,}" if quota.HasField("tokens_per_day") else "no limit"),
    ]


def _quota_caption(group: group_pb2.Group) -> str:
    if not group.HasField("quota"):
        return f"{group.name} has no quota, so nothing is counted"
    return f"{group.name}; counted anew from {minute(group.quota_usage.reset_time)} UTC"


def _settings(group: group_pb2.Group) -> str:
    fields = MessageToDict(group.configuration, preserving_proto_field_name=True)
    return ", ".join(f"{key}={value}" for key, value in fields.items())
