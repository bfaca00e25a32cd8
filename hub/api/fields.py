"""Fields that more than one service has."""

from datetime import timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from contract.errors import InvalidRequest, Reason


def read_request_id(text: str) -> str:
    """Returns a UUID in its usual form.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    try:
        return str(UUID(text))
    except ValueError as error:
        raise InvalidRequest(Reason.FIELD_INVALID, "request_id must be a UUID, kept over retries.") from error


def read_ttl(ttl: Duration) -> timedelta:
    """Returns a time to live.

    Raises:
        InvalidRequest: TTL_INVALID.
    """
    try:
        return ttl.ToTimedelta()
    except (OverflowError, ValueError) as error:
        raise InvalidRequest(Reason.TTL_INVALID, "The time to live cannot be read. Give at most 30 days.") from error
