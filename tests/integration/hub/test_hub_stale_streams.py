"""Streams that may stand no more end by themselves, whatever their far end does, and whatever became of the call that is the reason."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.errors import Reason
from hub.clock import utc_now
from hub.config import Limits
from hub.fleet.lifecycle import Lifecycle
from seawall.hub.v1 import agent_pb2, event_pb2
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_session import session


class Clock:
    """The hub's time, which a test moves on."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.fleet.fleet.STALE_SECONDS", 0.05)
    monkeypatch.setattr("hub.fleet.events.ALIVE_SECONDS", 0.05)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hub(tmp_path: Path, clock: Clock, database_url: str) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", clock=clock, database_url=database_url) as running:
        yield running


@pytest.fixture
async def operator(hub: RunningHub) -> AsyncIterator[Operator]:
    async with hub.channel(hub.operator) as channel:
        yield Operator(channel)


async def ending_of(watch: Any) -> grpc.aio.AioRpcError:
    try:
        while True:
            await anext(watch)
    except grpc.aio.AioRpcError as error:
        return error


async def test_a_silent_session_ends_when_its_certificate_expires(hub: RunningHub, clock: Clock) -> None:
    async with session(hub, await hub.enroll("plant-7")) as agent:
        await agent.hello()
        clock.ahead = timedelta(days=31)
        error = await agent.ending()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, Reason.CERTIFICATE_INVALID)


async def test_a_watch_ends_when_its_certificate_expires(operator: Operator, clock: Clock) -> None:
    watch = aiter(operator.events.WatchEvents(event_pb2.WatchEventsRequest(), timeout=30))
    await anext(watch)
    clock.ahead = timedelta(days=366)
    error = await ending_of(watch)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, Reason.CERTIFICATE_INVALID)


async def test_a_session_on_which_nothing_comes_ends_so_that_the_agent_comes_back(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path / "quick", limits=Limits(stop_seconds=0, heartbeat_seconds=0.1)) as hub,
        session(hub, await hub.enroll("plant-7")) as agent,
    ):
        await agent.hello()
        error = await agent.ending()
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, Reason.HUB_UNAVAILABLE)


async def test_what_an_operator_did_is_delivered_though_the_call_was_given_up(
    hub: RunningHub, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is busy for longer than the caller waits; what was asked is done all the same, and everybody hears of it."""
    release, move = threading.Event(), Lifecycle._change_state

    def slowly(*arguments: Any) -> Any:
        release.wait(20)
        return move(*arguments)

    monkeypatch.setattr(Lifecycle, "_change_state", slowly)
    async with session(hub, await hub.enroll("plant-7")) as agent:
        await agent.hello()
        await eventually(lambda: _connected(operator))
        watch = aiter(operator.events.WatchEvents(event_pb2.WatchEventsRequest(), timeout=30))
        await anext(watch)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await operator.agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name="agents/plant-7"), timeout=0.3)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        release.set()
        assert reason_of(await agent.ending()) == Reason.AGENT_SUSPENDED
        async with asyncio.timeout(20):
            async for response in watch:
                if response.event.type == "AGENT_SUSPENDED":
                    break


async def _connected(operator: Operator) -> bool:
    return (await operator.agent()).connected
