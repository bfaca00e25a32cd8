"""W3C Trace Context: what is taken, and that OpenTelemetry takes the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contract.tracing import TraceParent, check_endpoint, read_traceparent

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
parts = st.sampled_from(["00", "01", "ff", "0a", "", "0" * 32, "ab" * 16, "AB" * 16, "0" * 16, "cd" * 8, "-", "x", "\n"])


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read(trace_id: int, span_id: int, sampled: bool) -> None:
    parent = TraceParent(trace_id, span_id, sampled)
    assert read_traceparent([str(parent)]) == parent


@given(st.one_of(st.text(max_size=80), st.lists(parts, min_size=3, max_size=6).map("-".join)))
def test_nothing_is_taken_that_opentelemetry_does_not_take(text: str) -> None:
    ours = read_traceparent([text])
    theirs = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": text}, Context())).get_span_context()
    if ours is not None:
        assert (ours.trace_id, ours.span_id, ours.sampled) == (theirs.trace_id, theirs.span_id, theirs.trace_flags.sampled)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [GOOD, GOOD],
        [GOOD + "-more"],
        [GOOD.upper()],
        [GOOD + " "],
        ["ff" + GOOD[2:]],
        [GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)],
        [GOOD.replace("b7ad6b7169203331", "0" * 16)],
        ["01" + GOOD[2:] + "-" + "x" * 10_000],
    ],
)
def test_what_is_no_parent_is_passed_over(values: list[str]) -> None:
    assert read_traceparent(values) is None


def test_a_later_version_may_say_more() -> None:
    assert read_traceparent(["01" + GOOD[2:] + "-more"]) == read_traceparent([GOOD])


@pytest.mark.parametrize("endpoint", ["collector:4317", "grpc://c:4317", "http://c", "https://c:4317/v1/traces", "http://c:99999999"])
def test_an_endpoint_that_is_none_says_how_to_write_one(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"http://host:port|[Pp]ort"):
        check_endpoint(endpoint)
