"""The two gRPC listeners: TLS, limits, keepalive."""

import grpc
import grpc.aio
from grpc.aio import ServerInterceptor

from contract.errors import NotPossibleNow, Reason
from hub.config import MAX_MESSAGE_BYTES, Limits

MIN_PING_SECONDS = 5
"""Agents may ping so often. gRPC's default of five minutes would end the connections of those behind an impatient NAT."""

PING_TIMEOUT_SECONDS = 20
"""A peer that leaves a ping unanswered for so long is gone."""


def create_listener(interceptor: ServerInterceptor, limits: Limits, max_calls: int | None = None) -> grpc.aio.Server:
    """Makes a server that does not listen yet.

    Args:
        interceptor: every call passes it.
        limits: keepalive.
        max_calls: at once; None: any number.
    """
    return grpc.aio.server(interceptors=[interceptor], options=listener_options(limits), maximum_concurrent_rpcs=max_calls)


def listener_options(limits: Limits) -> list[tuple[str, int]]:
    """Returns gRPC's options of both listeners.

    Args:
        limits: keepalive.
    """
    return [
        ("grpc.so_reuseport", 0),  # or a second hub on the same port would take half of the calls, silently
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", int(limits.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
    ]


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Listens. The chain that is shown ends with the CA, so that a first contact can compare it with its join token.

    Args:
        server: not started yet.
        address: `host:port`.
        credentials: what is shown, and whether a certificate is asked for.

    Returns:
        the port.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the address is taken or not ours.
    """
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise cannot_listen(address) from error


def cannot_listen(address: str) -> NotPossibleNow:
    """Returns the error for an address that cannot be had."""
    return NotPossibleNow(
        Reason.CONFIG_INVALID,
        f"Cannot listen on {address}: something listens there already, or it is no address of this machine. "
        "Is another hub running? Else change [listeners] in hub.toml.",
    )
