"""Spans by OpenTelemetry's SDK. Imported only where traces are on: it takes memory.

The SDK reads `OTEL_…` variables for whatever it is not told; it is told everything, so that none of them sends anything anywhere.
`OTEL_SDK_DISABLED=true` alone is heeded: it can only take away.
"""

import logging
import threading
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as SdkSpan

from contract import telemetry
from contract.errors import SeawallError
from contract.tracing import CURRENT, NO_SPAN, Attributes, Kind, Span, TraceParent, Value

QUEUE_SPANS = 2048
"""Wait to be sent at most; then the oldest are dropped."""

BATCH_SPANS = 512
SEND_SECONDS = 3.0
LAST_SEND_SECONDS = 1.0
"""For what is left when the process ends."""

_DELAY_MILLISECONDS = 1000
_LIMIT = 64

Send = Callable[..., Any]

_log = structlog.get_logger(__name__)


class Exporter(SpanExporter):
    """Sends batches, each once: while the collector is away they are dropped, and the log has one line.

    Args:
        send: the collector's `Export`, which takes a request and a `timeout`, and raises where it fails.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_away = False
        self._has_given_up = False
        self.closing = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch; in the SDK's own thread."""
        if self._has_given_up:
            return SpanExportResult.FAILURE
        try:
            self._send(encode_spans(spans), timeout=LAST_SEND_SECONDS if self.closing.is_set() else SEND_SECONDS)
        except Exception as error:  # noqa: BLE001  # whatever becomes of a trace, answers go on
            if not self._is_away:
                _log.warning("the trace collector cannot be reached: traces are dropped until it can", error=type(error).__name__)
            self._is_away, self._has_given_up = True, self.closing.is_set()  # when all ends, nobody waits for a second try
            return SpanExportResult.FAILURE
        if self._is_away:
            _log.info("the trace collector is there again")
        self._is_away = False
        return SpanExportResult.SUCCESS


class SdkTracing:
    """See contract.tracing.Tracing.

    Args:
        send: see Exporter.
        resource: what this process is.
        sample_ratio: of the traces that begin here; one that comes from outside brings its own decision.
    """

    is_on = True

    def __init__(self, send: Send, resource: Attributes, sample_ratio: float) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)  # it would say the same again and again; Exporter says it
        self._exporter = Exporter(send)
        processor = BatchSpanProcessor(
            self._exporter, QUEUE_SPANS, _DELAY_MILLISECONDS, BATCH_SPANS, SEND_SECONDS * 1000, meter_provider=NoOpMeterProvider()
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource(dict(resource)),
            shutdown_on_exit=False,
            id_generator=RandomIdGenerator(),
            span_limits=SpanLimits(_LIMIT, _LIMIT, _LIMIT, _LIMIT, _LIMIT, 1024, 1024),
            meter_provider=NoOpMeterProvider(),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("seawall")

    def root(self, name: str, kind: Kind, parent: TraceParent | None, attributes: Attributes, start: datetime | None = None) -> Span:
        """See Tracing."""
        begun = None if start is None else int(start.timestamp() * 1e9)
        return _Traced(self._tracer.start_span(name, _beneath(parent), SpanKind[kind.value], dict(attributes), start_time=begun), True)

    def step(self, name: str, attributes: Attributes | None = None, kind: Kind = Kind.INTERNAL) -> Span:
        """See Tracing."""
        current = CURRENT.get()
        if current is None or current.place is None:
            return NO_SPAN
        return _Traced(self._tracer.start_span(name, _beneath(current.place), SpanKind[kind.value], dict(attributes or {})), False)

    def close(self) -> None:
        """See Tracing."""
        self._exporter.closing.set()
        self._provider.shutdown()


class _Traced:
    def __init__(self, span: SdkSpan, is_root: bool) -> None:
        self._span = span
        self._is_root = is_root
        self._has_failed = False
        context = span.get_span_context()
        place = TraceParent(context.trace_id, context.span_id, context.trace_flags.sampled)
        self.place = place if context.is_valid else None  # there is none where the SDK is disabled

    def set(self, name: str, value: Value) -> None:
        """See Span."""
        self._span.set_attribute(name, value)

    def fail(self, error_type: str) -> None:
        """See Span."""
        if not self._has_failed:
            self._has_failed = True
            self._span.set_attribute(telemetry.ERROR_TYPE, error_type)
            self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> Self:
        if self._is_root:
            CURRENT.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        if error is not None and not isinstance(error, GeneratorExit):  # that one says: I have heard enough
            self.fail(_type_of(error))
        self._span.end()
        if CURRENT.get() is self:
            CURRENT.set(None)


def _beneath(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(parent.trace_id, parent.span_id, True, flags)), Context())


def _type_of(error: BaseException) -> str:
    if isinstance(error, SeawallError):
        return str(error.reason)
    return "cancelled" if isinstance(error, CancelledError) else type(error).__name__
