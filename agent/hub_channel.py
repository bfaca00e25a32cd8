"""The way to the hub: an mTLS channel, and what its refusals mean."""

from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from agent.identity.files import Identity
from contract.errors import ERROR_DOMAIN, InvalidRequest, NotAuthenticated, Reason, SeawallError, Unavailable

CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),  # a NAT forgets an idle connection after minutes
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),  # that is when it is idle
    ("grpc.enable_http_proxy", 0),  # first contact goes straight as well
    ("grpc.max_reconnect_backoff_ms", 10_000),  # gRPC's own limit of two minutes is long for a site that waits
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)

LONGEST_WAIT_SECONDS = 3600.0
"""A hub that asks to be left alone for longer is asked again after so long."""


def open_channel(identity: Identity) -> grpc.aio.Channel:
    """Returns a channel on which both sides show certificates. It connects when it is first used."""
    credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
    return grpc.aio.secure_channel(identity.hub_address, credentials, options=CHANNEL_OPTIONS)


def hub_reason(error: grpc.RpcError) -> Reason | None:
    """Returns the reason in a refusal's ErrorInfo, or None: it came from the transport, or from a newer hub."""
    info = error_details_pb2.ErrorInfo()
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))  # gRPC's errors are calls too
        found = status is not None and any(detail.Unpack(info) for detail in status.details)
    except (ValueError, DecodeError):  # the status contradicts itself, or is none
        return None
    return Reason(info.reason) if found and info.domain == ERROR_DOMAIN and info.reason in Reason.__members__ else None


def asked_wait_seconds(error: grpc.RpcError) -> float:
    """Returns the seconds in the RetryInfo of a refusal; 0: it has none."""
    info = error_details_pb2.RetryInfo()
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))
        found = status is not None and any(detail.Unpack(info) for detail in status.details)
    except (ValueError, DecodeError):  # the status contradicts itself, or is none
        return 0.0
    return min(LONGEST_WAIT_SECONDS, max(0.0, info.retry_delay.ToNanoseconds() / 1e9)) if found else 0.0


def refusal(error: grpc.RpcError, address: str) -> SeawallError:
    """Returns our error for a failed call.

    Args:
        error: from gRPC.
        address: of the hub, for the message.
    """
    reason, call = hub_reason(error), cast(grpc.Call, error)
    if call.code() is grpc.StatusCode.UNAUTHENTICATED:
        return NotAuthenticated(reason or Reason.CERTIFICATE_INVALID, str(call.details()))
    if reason is not None and call.code() is not grpc.StatusCode.UNAVAILABLE:
        return InvalidRequest(reason, str(call.details()))
    return Unavailable(
        Reason.HUB_UNAVAILABLE, f"The hub at {address} gave no answer ({call.code().name}): seawall-agent doctor looks for the reason."
    )
