"""seawall.hub.v1.CommandService."""

from datetime import timedelta
from typing import Any

import grpc.aio

from contract.errors import InvalidRequest, Reason
from contract.identity import parse_agent_name
from hub.api.fields import read_request_id, read_ttl
from hub.api.identity import actor
from hub.api.paging import fitting, page_size, page_token, read_number_token
from hub.fleet.commands import DEFAULT_TTL, Commands
from hub.fleet.messages import command_message
from seawall.hub.v1 import command_pb2, command_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_NOT_OF_OPERATORS = (command_pb2.Command.ACTION_UNSPECIFIED, command_pb2.Command.TAKE_PART)
"""In a round the hub alone says who takes part."""


class CommandServicer(command_pb2_grpc.CommandServiceServicer):
    """Shows commands, and makes them.

    Args:
        commands: all of them.
        trust_domain: of those who make them.
    """

    def __init__(self, commands: Commands, trust_domain: str) -> None:
        self._commands = commands
        self._trust_domain = trust_domain

    async def CreateCommand(  # noqa: N802  # the proto's name
        self, request: command_pb2.CreateCommandRequest, context: Context
    ) -> command_pb2.Command:
        """See the proto."""
        del context
        ttl: timedelta = read_ttl(request.ttl) if request.HasField("ttl") else DEFAULT_TTL
        record = await self._commands.create(
            parse_agent_name(request.parent),
            _read_action(request.command.action),
            read_request_id(request.request_id),
            actor(self._trust_domain),
            log_lines=request.command.log_lines,
            ttl=ttl,
        )
        return command_message(record)

    async def GetCommand(self, request: command_pb2.GetCommandRequest, context: Context) -> command_pb2.Command:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        return command_message(await self._commands.get(*_read_name(request.name)))

    async def ListCommands(  # noqa: N802  # the proto's name
        self, request: command_pb2.ListCommandsRequest, context: Context
    ) -> command_pb2.ListCommandsResponse:
        """See the proto."""
        del context
        agent_id = None if request.parent == "agents/-" else parse_agent_name(request.parent)
        size = page_size(request.page_size)
        records = await self._commands.page(agent_id, read_number_token(request.page_token), size + 1)
        shown = fitting(command_message(record) for record in records[:size])
        return command_pb2.ListCommandsResponse(
            commands=shown,
            next_page_token=page_token(str(records[len(shown) - 1].number)) if len(records) > len(shown) else "",
        )

    async def CancelCommand(  # noqa: N802  # the proto's name
        self, request: command_pb2.CancelCommandRequest, context: Context
    ) -> command_pb2.Command:
        """See the proto."""
        del context
        return command_message(await self._commands.cancel(*_read_name(request.name), actor(self._trust_domain)))


def _read_name(name: str) -> tuple[str, str]:
    agent, slash, command_id = name.partition("/commands/")
    if not slash or not command_id:
        raise InvalidRequest(Reason.NAME_INVALID, f"'{name[:160]}' is no command's name: use agents/ID/commands/ID.")
    return parse_agent_name(agent), command_id


def _read_action(number: command_pb2.Command.Action.ValueType) -> str:
    if number in _NOT_OF_OPERATORS or number not in command_pb2.Command.Action.values():
        raise InvalidRequest(
            Reason.FIELD_INVALID, "command.action must be one of RESTART, RUN_DOCTOR, FETCH_LOGS, FORGET_ANSWERS, PROVE_RECEIPTS."
        )
    return command_pb2.Command.Action.Name(number)
