"""Metering: names, labels, figures, and not a word of a prompt."""

import io
import itertools
import logging

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from contract.classification import DataClass
from hub import logs
from hub.escalation.metering import Meter
from hub.escalation.prompts import Escalation, Finish, TextDelta, Turn
from hub.escalation.providers.base import ProviderFailed
from tests.fakes.provider import FakeProvider

SETTINGS = FakeProvider("house", []).settings
SECRET = "SECRET-PROMPT"
ESCALATION = Escalation("id-1", "plant-7", (Turn("user", SECRET),), frozenset(), DataClass.INTERNAL, 10, 0.0)
LABELS = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai", "gen_ai_request_model": "m"}


def ticking_meter(registry: CollectorRegistry) -> Meter:
    """Its clock goes one second at each look."""
    seconds = itertools.count()
    return Meter(registry, lambda: float(next(seconds)))


def test_a_whole_answer_is_measured_by_the_conventions_names() -> None:
    registry = CollectorRegistry()
    with capture_logs() as entries, ticking_meter(registry).attempt(SETTINGS, ESCALATION) as attempt:
        for piece in (TextDelta("a"), TextDelta("b"), Finish("m", 70, 20, "stop")):
            attempt.saw(piece)
    assert registry.get_sample_value("gen_ai_client_operation_duration_seconds_sum", {**LABELS, "error_type": ""}) == 2
    assert registry.get_sample_value("gen_ai_server_time_to_first_token_seconds_sum", LABELS) == 1
    assert registry.get_sample_value("gen_ai_client_token_usage_sum", {**LABELS, "gen_ai_token_type": "input"}) == 70
    assert registry.get_sample_value("gen_ai_client_token_usage_sum", {**LABELS, "gen_ai_token_type": "output"}) == 20
    (entry,) = entries
    assert (entry["agent"], entry["provider"], entry["data_class"], entry["output_tokens"]) == ("plant-7", "house", "internal", 20)


def test_a_failure_is_measured_with_its_kind() -> None:
    registry = CollectorRegistry()
    with pytest.raises(ProviderFailed), ticking_meter(registry).attempt(SETTINGS, ESCALATION):
        raise ProviderFailed("status_429")
    assert registry.get_sample_value("gen_ai_client_operation_duration_seconds_count", {**LABELS, "error_type": "status_429"}) == 1
    assert registry.get_sample_value("gen_ai_server_time_to_first_token_seconds_count", LABELS) is None


def test_an_answer_nobody_waited_for_is_measured_as_cancelled() -> None:
    registry = CollectorRegistry()
    with ticking_meter(registry).attempt(SETTINGS, ESCALATION) as attempt:
        attempt.saw(TextDelta("a"))
    assert registry.get_sample_value("gen_ai_client_operation_duration_seconds_count", {**LABELS, "error_type": "cancelled"}) == 1


def test_logs_are_json_lines_and_hold_no_prompt() -> None:
    before = structlog.get_config()
    stream = io.StringIO()
    try:
        logs.configure(stream)
        with ticking_meter(CollectorRegistry()).attempt(SETTINGS, ESCALATION) as attempt:
            attempt.saw(TextDelta(SECRET))
    finally:
        structlog.configure(**before)
        logging.disable(logging.NOTSET)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{")
    assert line.endswith("}")
    assert '"request_id": "id-1"' in line
    assert SECRET not in line
