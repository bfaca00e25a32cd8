"""Errors as gRPC shows them: google.rpc.Status with one ErrorInfo (AIP-193)."""

import traceback

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from contract.errors import ERROR_DOMAIN, Reason, SeawallError
from hub.fleet.quotas import QuotaSpent

BUSY_SECONDS = 30
"""A hub that is full asks to be left alone for so long."""

STATUS_KEY = "grpc-status-details-bin"


def code_of(error: SeawallError) -> grpc.StatusCode:
    """Returns the gRPC code of an error."""
    return grpc.StatusCode[error.grpc_code]


def internal_error() -> SeawallError:
    """What a caller is told of an error that nobody foresaw: nothing."""
    return SeawallError(Reason.INTERNAL, "The hub made an error; it is in the hub's log. Try again.")


def status_metadata(error: SeawallError) -> tuple[tuple[str, bytes], ...]:
    """Returns the trailing metadata that carries reason and domain."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=_facts(error)))
    details = [detail]
    if error.reason is Reason.HUB_BUSY:
        details.append(_retry_info(BUSY_SECONDS))
    if isinstance(error, QuotaSpent):
        details.append(_retry_info(error.retry_seconds))
    number: int = code_of(error).value[0]
    return ((STATUS_KEY, status_pb2.Status(code=number, message=error.message, details=details).SerializeToString()),)


def _facts(error: SeawallError) -> dict[str, str]:
    """What a program may want to know beside the reason."""
    return {"group": error.group, "resetTime": f"{error.reset_time:%Y-%m-%dT%H:%M:%SZ}"} if isinstance(error, QuotaSpent) else {}


def _retry_info(seconds: float) -> any_pb2.Any:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(seconds * 1e9))
    detail = any_pb2.Any()
    detail.Pack(info)
    return detail


def frames_of(error: BaseException) -> list[str]:
    """Where an error came from, without its words: they may quote a prompt."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
