"""The way to the collector: by TLS, to the one that is meant."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.config import TelemetrySettings as AgentTelemetry
from agent.tracing import open_tracing as open_agent_tracing
from contract.errors import InvalidRequest, Reason
from contract.tracing import Kind, Tracing
from hub.config import TelemetrySettings as HubTelemetry
from hub.tracing import open_tracing as open_hub_tracing
from tests.fakes.collector import trace_collector
from tests.fakes.fleet_agent import eventually
from tests.fakes.tls import Authority

SIDES = pytest.mark.parametrize(("settings", "opened"), [(AgentTelemetry, open_agent_tracing), (HubTelemetry, open_hub_tracing)])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority()
    (tmp_path / "ca.pem").write_bytes(made.pem)
    return made


async def traced(tracing: Tracing) -> None:
    with tracing.root("r", Kind.SERVER, None, {}):
        pass
    await asyncio.to_thread(tracing.close)


@SIDES
async def test_a_collector_that_the_file_vouches_for_is_told(settings: Any, opened: Any, authority: Authority, tmp_path: Path) -> None:
    async with trace_collector(authority.issue()) as collector:
        await traced(opened(settings(otlp_endpoint=collector.endpoint, otlp_ca_file=tmp_path / "ca.pem"), "me"))
        await eventually(lambda: [seen.span.name for seen in collector.spans()] == ["r"])


@SIDES
@pytest.mark.usefixtures("authority")
async def test_a_collector_of_another_authority_is_told_nothing(settings: Any, opened: Any, tmp_path: Path) -> None:
    async with trace_collector(Authority().issue()) as collector:
        with structlog.testing.capture_logs() as lines:
            await traced(opened(settings(otlp_endpoint=collector.endpoint, otlp_ca_file=tmp_path / "ca.pem"), "me"))
        assert collector.spans() == []
    assert any("collector" in line["event"] for line in lines)


@SIDES
def test_a_file_that_is_not_there_is_named(settings: Any, opened: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="otlp_ca_file") as raised:
        opened(settings(otlp_endpoint="https://127.0.0.1:1", otlp_ca_file=tmp_path / "none.pem"), "me")
    assert raised.value.reason is Reason.CONFIG_INVALID


@SIDES
def test_an_address_that_is_none_says_how_to_write_one(settings: Any, opened: Any) -> None:
    del opened
    with pytest.raises(ValueError, match=r"http://host:port"):
        settings(otlp_endpoint="collector:4317")
