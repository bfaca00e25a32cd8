"""What Prometheus reads of a hub, over its real listener."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy
from prometheus_client.parser import text_string_to_metric_families

from hub.config import Limits
from hub.store.tables import commands
from hub.telemetry import MODELS
from seawall.hub.v1 import agent_pb2
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import Identity, RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_session import session
from tests.integration.seeing.site import LISTENERS

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]
CONNECT = "/seawall.hub.v1.SessionService/Connect"


async def scrape(hub: RunningHub) -> Samples:
    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{hub.hub.metrics_port}/metrics", timeout=20) as response:
            return str(response.read().decode())

    result: Samples = {}
    for family in text_string_to_metric_families(await asyncio.to_thread(read)):
        for sample in family.samples:
            result.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return result


async def hub_has(hub: RunningHub, name: str, value: float, *labels: tuple[str, str]) -> bool:
    return (await scrape(hub))[name][labels] == value


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", listeners=LISTENERS, limits=Limits(stop_seconds=0, last_seen_seconds=0.05)) as running:
        yield running


@pytest.fixture
async def identity(hub: RunningHub) -> Identity:
    return await hub.enroll("plant-7")


@pytest.fixture
async def operator(hub: RunningHub) -> AsyncIterator[Operator]:
    async with hub.channel(hub.operator) as channel:
        yield Operator(channel)


async def test_a_session_is_counted_from_its_opening_to_its_end(hub: RunningHub, identity: Identity, operator: Operator) -> None:
    async with session(hub, identity) as agent:
        await agent.hello(model="models/small/versions/1")
        await agent.beat(1)
        await agent.beat(2)
        await operator.command()
        assert (await agent.receive()).HasField("command")
        await eventually(lambda: hub_has(hub, "seawall_hub_delivery_seconds_count", 1))
        during = await scrape(hub)
        await operator.agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name="agents/plant-7"))
        assert reason_of(await agent.ending()) == "AGENT_SUSPENDED"
    assert during["seawall_hub_sessions"][()] == 1
    assert during["seawall_hub_heartbeats_total"][()] == 2
    assert during["seawall_hub_deliveries_total"][("kind", "command"),] == 1
    assert during["seawall_hub_calls_in_flight"][("method", CONNECT),] == 1
    assert during["seawall_hub_agent_models"] == {(("model", "models/small/versions/1"),): 1}
    assert during["seawall_hub_commands"][("state", "PENDING"),] == 1
    await eventually(lambda: hub_has(hub, "seawall_hub_calls_in_flight", 0, ("method", CONNECT)))
    after = await scrape(hub)
    assert after["seawall_hub_sessions"][()] == 0
    assert after["seawall_hub_sessions_opened_total"][()] == 1
    assert after["seawall_hub_sessions_ended_total"] == {(("reason", "AGENT_SUSPENDED"),): 1}
    assert after["seawall_hub_session_end_seconds_count"][()] == 1
    assert after["seawall_hub_calls_total"][("code", "PERMISSION_DENIED"), ("method", CONNECT)] == 1
    assert after["seawall_hub_events_total"][("type", "AGENT_SUSPENDED"),] == 1


async def test_agents_are_counted_by_state_silence_and_their_certificates(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as agent:
        await agent.hello()
        await hub.enroll("plant-8")
        silent = ("silence", "longer"), ("state", "ACTIVE")
        await eventually(lambda: _is_heard_of(hub))
        found = await scrape(hub)
    assert found["seawall_hub_agents"] == {(("silence", "under_5m"), ("state", "ACTIVE")): 1, silent: 1}
    assert found["seawall_hub_agent_certificates"] == {(("life", "under_30d"),): 2}
    assert found["seawall_hub_store_up"][()] == 1
    assert set(found["seawall_hub_certificate_expire_time_seconds"]) == {(("certificate", "ca"),), (("certificate", "server"),)}


async def _is_heard_of(hub: RunningHub) -> bool:
    return (("silence", "under_5m"), ("state", "ACTIVE")) in (await scrape(hub))["seawall_hub_agents"]


async def test_no_label_grows_with_what_agents_say_of_themselves(hub: RunningHub) -> None:
    for number in range(MODELS + 5):
        identity = await hub.enroll(f"agent-{number}")
        async with session(hub, identity) as agent:
            await agent.hello(model=f"models/m{number}/versions/1")
    found = await scrape(hub)
    assert len(found["seawall_hub_agent_models"]) == MODELS + 1
    assert found["seawall_hub_agent_models"][("model", "other"),] == 5
    assert not any("agent-" in value for labels in found.values() for pairs in labels for _, value in pairs)


async def test_a_store_that_is_away_is_shown_beside_all_that_needs_none(hub: RunningHub) -> None:
    engine = sqlalchemy.create_engine(hub.folder.database_url)
    with engine.begin() as connection:
        commands.drop(connection)
    engine.dispose()
    found = await scrape(hub)
    assert found["seawall_hub_store_up"][()] == 0
    assert "seawall_hub_agents" not in found
    assert found["seawall_hub_sessions"][()] == 0


async def test_a_call_that_the_caller_leaves_is_counted_as_such(hub: RunningHub, identity: Identity) -> None:
    async with session(hub, identity) as agent:
        await agent.hello()

    async def is_counted() -> bool:
        return sum((await scrape(hub)).get("seawall_hub_sessions_ended_total", {}).values()) == 1

    await eventually(is_counted)
    await eventually(lambda: hub_has(hub, "seawall_hub_calls_in_flight", 0, ("method", CONNECT)))
    found = await scrape(hub)
    assert set(found["seawall_hub_sessions_ended_total"]) <= {(("reason", "LOST"),), (("reason", "CLOSED"),)}
    assert found["seawall_hub_call_duration_seconds_count"][("method", CONNECT),] == 1
