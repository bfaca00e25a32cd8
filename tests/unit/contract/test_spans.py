"""Spans by the SDK: what is sent, and that no variable changes where."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from contract.errors import InvalidRequest, Reason
from contract.spans import SdkTracing
from contract.tracing import CURRENT, NO_SPAN, Kind, TraceParent

RESOURCE = {"service.name": "test"}


class Sent:
    """Keeps requests, or fails."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.error: Exception | None = None

    def __call__(self, request: Any, timeout: float) -> None:
        assert timeout > 0
        if self.error is not None:
            raise self.error
        self.requests.append(request)

    def spans(self) -> list[Any]:
        return [span for request in self.requests for item in request.resource_spans for scope in item.scope_spans for span in scope.spans]


@pytest.fixture
def sent() -> Iterator[Sent]:
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    yield Sent()
    logger.setLevel(before)
    CURRENT.set(None)


def test_an_error_is_told_by_its_reason_or_type_and_never_by_its_words(sent: Sent) -> None:
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    for error in (InvalidRequest(Reason.FIELD_INVALID, "SECRET"), ValueError("SECRET")):
        with pytest.raises(type(error)), tracing.root("r", Kind.SERVER, None, {}):
            raise error
    tracing.close()
    assert [span.attributes[0].value.string_value for span in sent.spans()] == ["FIELD_INVALID", "ValueError"]
    assert b"SECRET" not in b"".join(request.SerializeToString() for request in sent.requests)


def test_a_reader_that_has_heard_enough_is_no_error(sent: Sent) -> None:
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    with pytest.raises(GeneratorExit), tracing.root("r", Kind.SERVER, None, {}):
        raise GeneratorExit
    tracing.close()
    assert sent.spans()[0].status.code == 0


def test_the_ratio_is_of_what_begins_here_and_the_parent_decides_for_the_rest(sent: Sent) -> None:
    tracing = SdkTracing(sent, RESOURCE, 0.0)
    with tracing.root("ours", Kind.SERVER, None, {}):
        pass
    with tracing.root("theirs", Kind.SERVER, TraceParent(1, 2, True), {}):
        pass
    tracing.close()
    assert [span.name for span in sent.spans()] == ["theirs"]


def test_what_no_prompt_has_begun_is_not_traced(sent: Sent) -> None:
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    assert tracing.step("alone") is NO_SPAN
    tracing.close()
    assert sent.requests == []


def test_variables_change_neither_what_is_said_nor_how_much(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "secret=1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "other")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    for _ in range(3):
        with tracing.root("r", Kind.SERVER, None, {"a": 1}):
            pass
    tracing.close()
    assert [len(span.attributes) for span in sent.spans()] == [1, 1, 1]
    assert [(pair.key, pair.value.string_value) for pair in sent.requests[0].resource_spans[0].resource.attributes] == [
        ("service.name", "test")
    ]


def test_a_disabled_sdk_takes_away_and_leaves_nothing_half_done(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    with tracing.root("r", Kind.SERVER, None, {"a": 1}) as root, tracing.step("s") as step:
        assert root.place is step.place is None
    tracing.close()
    assert sent.requests == []


def test_a_trace_that_cannot_be_sent_is_dropped_and_the_next_is_sent(sent: Sent) -> None:
    sent.error = RuntimeError("away")
    tracing = SdkTracing(sent, RESOURCE, 1.0)
    with tracing.root("lost", Kind.SERVER, None, {}):
        pass
    tracing._provider.force_flush()
    sent.error = None
    with tracing.root("kept", Kind.SERVER, None, {}):
        pass
    tracing.close()
    assert [span.name for span in sent.spans()] == ["kept"]
