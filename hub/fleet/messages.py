"""Rows as protobuf messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from contract.identity import agent_name
from hub.store.commands import CommandRecord
from seawall.hub.v1 import command_pb2


def timestamp(time: datetime | None) -> Timestamp | None:
    """Returns a time as protobuf has it; None stays unset."""
    if time is None:
        return None
    result = Timestamp()
    result.FromDatetime(time)
    return result


def command_name(agent_id: str, command_id: str) -> str:
    """Returns `agents/{agent}/commands/{command}`."""
    return f"{agent_name(agent_id)}/commands/{command_id}"


def command_message(record: CommandRecord) -> command_pb2.Command:
    """Returns a command."""
    return command_pb2.Command(
        name=command_name(record.agent_id, record.command_id),
        action=command_pb2.Command.Action.Value(record.action),
        log_lines=record.log_lines,
        state=command_pb2.Command.State.Value(record.state),
        create_time=timestamp(record.create_time),
        expire_time=timestamp(record.expire_time),
        begin_time=timestamp(record.begin_time),
        end_time=timestamp(record.end_time),
        output=record.output,
        error=record.error,
        learning_round=command_pb2.LearningRound.FromString(record.learning_round) if record.learning_round else None,
    )
