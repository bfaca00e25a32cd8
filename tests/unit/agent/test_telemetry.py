"""What the agent counts, as Prometheus would read it."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from agent.telemetry import Metrics
from contract.errors import Reason
from tests.fakes.answerer import receipt


def test_answers_refusals_and_tokens_are_counted_by_route() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.answered(receipt("p1"), input_tokens=12, output_tokens=3)
    metrics.answered(replace(receipt("p2"), route="cache", provisional=True), input_tokens=12, output_tokens=3)
    metrics.refused(Reason.QUEUE_FULL)
    metrics.first_token(0.5)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'seawall_agent_answers_total{data_class="public",provisional="false",seawall_route="local"} 1.0',
        'seawall_agent_answers_total{data_class="public",provisional="true",seawall_route="cache"} 1.0',
        'gen_ai_client_token_usage_total{gen_ai_token_type="input",seawall_route="local"} 12.0',
        'gen_ai_client_token_usage_total{gen_ai_token_type="output",seawall_route="cache"} 3.0',
        'seawall_agent_refusals_total{reason="QUEUE_FULL"} 1.0',
        'gen_ai_server_time_to_first_token_seconds_bucket{le="0.64"} 1.0',
        "seawall_agent_confidence_count 1.0",
    ):
        assert line in text


def test_no_label_holds_who_asked_or_what() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.answered(replace(receipt("p1"), data_kinds=("CREDIT_CARD",)), 1, 1)
    assert "p1" not in generate_latest(metrics.registry).decode().split()
    labels = {label for metric in metrics.registry.collect() for sample in metric.samples for label in sample.labels}
    assert labels <= {"seawall_route", "data_class", "provisional", "gen_ai_token_type", "reason", "state", "found", "rule", "le"}


def test_what_became_of_escalations_is_counted_by_its_cause() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.answered(replace(receipt("p1"), route="escalated"), 1, 1)
    metrics.answered(replace(receipt("p2"), provisional=True, reasons=("rule", "not-confident", "hub-unavailable")), 1, 1)
    sample = metrics.registry.get_sample_value
    assert sample("seawall_agent_escalations_total", {"outcome": "answered"}) == 1
    assert sample("seawall_agent_escalations_total", {"outcome": "hub-unavailable"}) == 1


def test_the_gap_between_two_sessions_is_measured_however_many_tries_it_takes() -> None:
    times = iter([100.0, 107.0])
    metrics = Metrics(CollectorRegistry(), lambda: next(times))
    metrics.session_ended("hub-unreachable")  # none was open
    metrics.session_opened()
    metrics.session_ended("hub-ended")
    metrics.session_ended("hub-unreachable")
    metrics.session_opened()
    assert metrics.registry.get_sample_value("seawall_agent_session_gap_seconds_sum") == 7
    assert metrics.registry.get_sample_value("seawall_agent_session_gap_seconds_count") == 1
