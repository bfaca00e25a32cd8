"""A prompt's trace, from its intake to the provider, in a real collector."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from contract.tracing import add_trace_id
from tests.fakes.collector import Collector, Seen, trace_collector
from tests.fakes.fleet_agent import eventually
from tests.fakes.provider_server import openai_answer, provider_server, status
from tests.fakes.tls import free_port
from tests.integration.intake.device import Device
from tests.integration.intake.mosquitto import Mosquitto
from tests.integration.seeing.site import running_site

CANARY = "canary-7f3a"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
RPC = "seawall.hub.v1.EscalationService/EscalatePrompt"
STEPS = {"classify", "decide", "recall", "chat fake", "judge", "connect", RPC, "record"}


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    yield
    logger.setLevel(before)


def only(spans: list[Seen], name: str, service: str = "seawall-agent") -> Seen:
    (found,) = [seen for seen in spans if seen.span.name == name and seen.service == service]
    return found


def is_beneath(child: Seen, parent: Seen) -> bool:
    return child.span.parent_span_id == parent.span.span_id and child.span.trace_id == parent.span.trace_id


def check_tree(spans: list[Seen], root_name: str) -> Seen:
    """One trace: the root, its steps, the hub's part beneath the agent's call, the provider beneath the hub's part."""
    root = only(spans, root_name)
    assert {seen.span.trace_id for seen in spans} == {root.span.trace_id}
    beneath = {seen.span.name for seen in spans if is_beneath(seen, root)}
    assert beneath == STEPS
    served = only(spans, RPC, "seawall-hub")
    assert is_beneath(served, only(spans, RPC))
    assert is_beneath(only(spans, "chat m", "seawall-hub"), served)
    return root


def check_no_words(collector: Collector) -> None:
    assert collector.requests
    for request in collector.requests:
        assert CANARY.encode() not in request.SerializeToString()


async def test_a_prompt_over_http_is_one_trace_from_the_client_to_the_provider(tmp_path: Path) -> None:
    async with provider_server(openai_answer(CANARY)) as provider, trace_collector() as collector:
        async with running_site(tmp_path, provider, collector.endpoint) as site:
            answer = await site.ask(f"what is {CANARY}?", traceparent=TRACEPARENT)
            assert answer.headers["x-seawall-route"] == "escalated"
        spans = await collector.until([*STEPS, "chat m"])
    root = check_tree(spans, "POST /v1/chat/completions")
    assert (root.span.trace_id.hex(), root.span.parent_span_id.hex()) == (TRACE, PARENT)
    assert root.attributes["seawall.receipt.id"] == answer.headers["x-seawall-receipt"]
    assert root.attributes["seawall.route"] == "escalated"
    provider_span = only(spans, "chat m", "seawall-hub")
    assert provider_span.attributes | {"gen_ai.usage.input_tokens": 7, "gen_ai.request.model": "m"} == provider_span.attributes
    check_no_words(collector)


async def test_a_prompt_over_mqtt_is_one_trace_too(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        async with provider_server(openai_answer(CANARY)) as provider, trace_collector() as collector:
            async with running_site(tmp_path, provider, collector.endpoint, broker.port), Device(broker.port) as device:
                await device.until_status("online")
                await device.send({"prompt": f"what is {CANARY}?"}, traceparent=TRACEPARENT)
                assert await device.answer() == CANARY
            spans = await collector.until([*STEPS, "chat m"])
    finally:
        broker.stop()
    root = check_tree(spans, "process prompts")
    assert (root.span.trace_id.hex(), root.span.parent_span_id.hex()) == (TRACE, PARENT)
    check_no_words(collector)


async def test_a_parent_that_is_none_begins_a_new_trace(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as provider, trace_collector() as collector:
        async with running_site(tmp_path, provider, collector.endpoint) as site:
            assert (await site.ask("why?", traceparent=f"00-{TRACE}-{'0' * 16}-01")).status_code == 200
        root = only(await collector.until(STEPS), "POST /v1/chat/completions")
    assert root.span.parent_span_id == b""
    assert root.span.trace_id.hex() != TRACE


async def test_a_client_that_does_not_trace_is_not_traced(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as provider, trace_collector() as collector:
        async with running_site(tmp_path, provider, collector.endpoint) as site:
            assert (await site.ask("why?", traceparent=f"00-{TRACE}-{PARENT}-00")).status_code == 200
        assert collector.spans() == []


async def test_a_provider_that_fails_is_told_by_its_kind_and_never_by_its_words(tmp_path: Path) -> None:
    async with provider_server([status(500, json.dumps({"error": {"message": CANARY}}))]) as provider, trace_collector() as collector:
        async with running_site(tmp_path, provider, collector.endpoint) as site:
            assert (await site.ask(f"what is {CANARY}?")).headers["x-seawall-provisional"] == "true"
        spans = await collector.until([RPC, "chat m"])
    assert only(spans, "chat m", "seawall-hub").attributes["error.type"] == "status_500"
    assert only(spans, RPC, "seawall-hub").attributes["error.type"] == "PROVIDERS_UNAVAILABLE"
    assert only(spans, RPC).attributes["error.type"] == "PROVIDERS_UNAVAILABLE"
    assert all(not seen.span.events and not seen.span.status.message for seen in spans)
    check_no_words(collector)


async def test_a_collector_that_is_away_costs_no_answer_and_one_line_in_the_log(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with structlog.testing.capture_logs() as lines:
        async with provider_server(openai_answer("x")) as provider, running_site(tmp_path, provider, nobody) as site:
            answers = [(await site.ask(f"why {number}?")).status_code for number in range(4)]
            await eventually(lambda: len(told(lines)) == 2)
            answers.append((await site.ask("why?")).status_code)  # dropped with the last batches, when all ends
    assert answers == [200] * 5
    assert len(told(lines)) == 2, "one of the agent, one of the hub"


def told(lines: list[Any]) -> list[Any]:
    return [line for line in lines if "collector" in line["event"]]


async def test_log_lines_name_the_trace(tmp_path: Path) -> None:
    lines = structlog.testing.LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[add_trace_id, lines])
    try:
        async with (
            provider_server(openai_answer("x")) as provider,
            trace_collector() as collector,
            running_site(tmp_path, provider, collector.endpoint) as site,
        ):
            await site.ask("why?", traceparent=TRACEPARENT)
    finally:
        structlog.configure(processors=before)
    (escalation,) = [line for line in lines.entries if line["event"] == "escalation"]
    assert escalation["trace_id"] == TRACE


async def test_without_a_collector_there_is_no_trace_in_the_hub_either(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as provider, running_site(tmp_path, provider, "") as site:
        answer = await site.ask("why?", traceparent=TRACEPARENT)
    assert answer.headers["x-seawall-route"] == "escalated"
    assert "traceparent" not in provider.headers[0]
