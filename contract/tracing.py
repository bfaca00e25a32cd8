"""Traces: how a step says that it begins and ends.

Nothing here needs OpenTelemetry: `contract.spans`, which does, is imported only where traces are on. A trace never holds what came from
outside as text: attributes are numbers, our own constants, and what the operator has configured.
"""

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

TRACEPARENT = "traceparent"
"""The header, the gRPC metadata and the MQTT 5 user property that carry the parent (W3C Trace Context)."""

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_LONGEST_CHARACTERS = 512
_UNUSED_VERSION = "ff"

Value = str | int | float | bool
Attributes = Mapping[str, Value]


class Kind(Enum):
    """What a span is to its neighbours; OpenTelemetry's names."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A place in a trace, as it travels.

    Args:
        trace_id: of 128 bits, not 0.
        span_id: of 64 bits, not 0.
        sampled: whether the trace is kept.
    """

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


def read_traceparent(values: Sequence[str]) -> TraceParent | None:
    """Reads the header; None: there is none, or it is not one. Whatever is wrong with it, the prompt is answered all the same.

    Args:
        values: of every header of that name; more than one are none.
    """
    found = _FORM.fullmatch(values[0]) if len(values) == 1 and len(values[0]) <= _LONGEST_CHARACTERS else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == _UNUSED_VERSION or (version == "00" and rest is not None):
        return None
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    return parent if parent.trace_id and parent.span_id else None


class Span(Protocol):
    """A step under way; ends with its `with` block. An error that passes through is noted by its type or reason, never by its words."""

    @property
    def place(self) -> TraceParent | None:
        """Where it is, for those whom it calls; None: it is not traced."""
        ...

    def set(self, name: str, value: Value) -> None:
        """Sets an attribute."""
        ...

    def fail(self, error_type: str) -> None:
        """Says that the step failed, and how, in a word of ours. The first one stays."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None: ...


class Tracing(Protocol):
    """Makes spans."""

    @property
    def is_on(self) -> bool:
        """Whether spans go anywhere."""
        ...

    def root(self, name: str, kind: Kind, parent: TraceParent | None, attributes: Attributes, start: datetime | None = None) -> Span:
        """Begins what this process does for a prompt. What is begun in the same task is beneath it.

        Args:
            name: of few kinds.
            kind: of span.
            parent: from outside; None: a new trace begins.
            attributes: known from the start.
            start: None: now.
        """
        ...

    def step(self, name: str, attributes: Attributes | None = None, kind: Kind = Kind.INTERNAL) -> Span:
        """Begins a step of what this task does; where it does nothing that is traced, neither is the step."""
        ...

    def close(self) -> None:
        """Sends what is left, for a short while. Blocks."""
        ...


class _NoSpan:
    place = None

    def set(self, name: str, value: Value) -> None:
        """Does nothing."""

    def fail(self, error_type: str) -> None:
        """Does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        """Does nothing."""


class NoTracing:
    """Traces that are off."""

    is_on = False

    def root(self, name: str, kind: Kind, parent: TraceParent | None, attributes: Attributes, start: datetime | None = None) -> Span:
        """See Tracing."""
        del name, kind, parent, attributes, start
        return NO_SPAN

    def step(self, name: str, attributes: Attributes | None = None, kind: Kind = Kind.INTERNAL) -> Span:
        """See Tracing."""
        del name, attributes, kind
        return NO_SPAN

    def close(self) -> None:
        """Does nothing."""


NO_SPAN = _NoSpan()
NO_TRACING = NoTracing()

CURRENT: ContextVar[Span | None] = ContextVar("seawall_span", default=None)
"""The root span of what this task does."""


def add_trace_id(_logger: object, _method: str, event: Any) -> Any:
    """Adds the trace's id to a log line; structlog calls it."""
    span = CURRENT.get()
    if span is not None and span.place is not None:
        event["trace_id"] = f"{span.place.trace_id:032x}"
    return event


def check_endpoint(endpoint: str) -> str:
    """Checks where traces go; empty: nowhere.

    Raises:
        ValueError: it is no such address.
    """
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None or parts.path.strip("/")):
        raise ValueError("write it as http://host:port, or https://host:port with TLS; a collector's port for OTLP over gRPC is 4317")
    return endpoint
