"""Where spans go. Off unless `[telemetry]` names a collector."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

from contract import telemetry
from contract.errors import InvalidRequest, Reason
from contract.tracing import NO_SPAN, NO_TRACING, TRACEPARENT, Attributes, Kind, Span, Tracing, read_traceparent
from hub.config import TelemetrySettings

_SERVICE, _METHOD = "seawall.hub.v1.EscalationService", "EscalatePrompt"
_SERVED: Attributes = {telemetry.RPC_SYSTEM: "grpc", telemetry.RPC_SERVICE: _SERVICE, telemetry.RPC_METHOD: _METHOD}


def open_tracing(settings: TelemetrySettings, trust_domain: str) -> Tracing:
    """Starts what sends spans, if they are wanted.

    Args:
        settings: where to.
        trust_domain: of this hub.

    Raises:
        InvalidRequest: CONFIG_INVALID, the CA's file cannot be read.
    """
    if not settings.otlp_endpoint:
        return NO_TRACING
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub  # only where it is on

    from contract.spans import SdkTracing

    resource = {
        telemetry.SERVICE_NAME: "seawall-hub",
        telemetry.SERVICE_VERSION: version("seawall"),
        telemetry.SERVICE_INSTANCE_ID: trust_domain,
    }
    collector = TraceServiceStub(_channel(settings.otlp_endpoint, settings.otlp_ca_file))  # type: ignore[no-untyped-call]  # generated so
    return SdkTracing(collector.Export, resource, settings.sample_ratio)


def begin_escalation(tracing: Tracing, metadata: Iterable[tuple[str, Any]]) -> Span:
    """Goes on with the agent's trace, where it has one.

    Args:
        tracing: where to.
        metadata: of the call.
    """
    if not tracing.is_on:
        return NO_SPAN
    given = [str(value) for name, value in metadata if name == TRACEPARENT]
    return tracing.root(f"{_SERVICE}/{_METHOD}", Kind.SERVER, read_traceparent(given), _SERVED)


def _channel(endpoint: str, ca_file: Path | None) -> grpc.Channel:
    scheme, _, address = endpoint.rstrip("/").partition("://")
    options = [("grpc.enable_http_proxy", 0)]
    if scheme == "http":
        return grpc.insecure_channel(address, options)
    try:
        trusted = ca_file.read_bytes() if ca_file is not None else None
    except OSError as error:
        raise InvalidRequest(
            Reason.CONFIG_INVALID, f"The file {ca_file} of [telemetry] otlp_ca_file cannot be read: {error.strerror}."
        ) from error
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(trusted), options)
