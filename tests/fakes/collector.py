"""A collector of traces: OTLP over gRPC on a real socket, that keeps what it is sent."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fakes.fleet_agent import eventually
from tests.fakes.tls import Pair


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What came."""

    endpoint: str = ""
    requests: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)

    async def Export(  # noqa: N802  # the proto's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list["Seen"]:
        """All of them, in the order of their beginning."""
        found = [
            Seen(_attributes(resource.resource.attributes).get("service.name", ""), span)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda seen: seen.span.start_time_unix_nano)

    async def until(self, names: Iterable[str]) -> list["Seen"]:
        """Waits until spans of all these names have come; returns all."""
        wanted = set(names)
        await eventually(lambda: wanted <= {seen.span.name for seen in self.spans()})
        return self.spans()


@dataclass(frozen=True)
class Seen:
    """A span, and who sent it."""

    service: str
    span: Span

    @property
    def attributes(self) -> dict[str, Any]:
        return _attributes(self.span.attributes)


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@asynccontextmanager
async def trace_collector(pair: Pair | None = None) -> AsyncIterator[Collector]:
    """Runs one until the block ends.

    Args:
        pair: the key and certificate that it shows; None: it speaks plain text.
    """
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    if pair is None:
        collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        credentials = grpc.ssl_server_credentials([(pair.key_pem, pair.certificate_pem)])
        collector.endpoint = f"https://127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)
