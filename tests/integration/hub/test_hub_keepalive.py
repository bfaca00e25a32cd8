"""Connections that idle: agents sit behind NATs that forget what is silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from hub.config import Limits
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc
from tests.fakes.hub import RunningHub, running_hub

LIST = agent_pb2.ListAgentsRequest()


@dataclass
class Wire:
    """What lies between an agent and the hub: it carries bytes, and counts how often the hub spoke."""

    hub_port: int
    port: int = 0
    connections: int = 0
    spoken: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.hub_port)
        there = asyncio.ensure_future(self._carry(reader, back_writer, None))
        await asyncio.gather(there, self._carry(back_reader, writer, self.spoken), return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoken: asyncio.Semaphore | None) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            if spoken is not None:
                spoken.release()
        writer.close()


@asynccontextmanager
async def wire_to(hub: RunningHub) -> AsyncIterator[Wire]:
    wire = Wire(hub.hub.mtls_port)
    async with await asyncio.start_server(wire.connect, "127.0.0.1", 0) as server:
        wire.port = server.sockets[0].getsockname()[1]
        yield wire


async def test_the_hub_speaks_up_on_an_idle_connection(tmp_path: Path) -> None:
    limits = Limits(keepalive_seconds=1, stop_seconds=0)
    async with running_hub(tmp_path, limits=limits) as hub, wire_to(hub) as wire:
        credentials = grpc.ssl_channel_credentials(hub.ca_certificate, hub.operator.key, hub.operator.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{wire.port}", credentials, [("grpc.enable_http_proxy", 0)]) as channel:
            await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(LIST)
            await asyncio.sleep(0.3)
            while not wire.spoken.locked():  # what still belonged to the call
                await wire.spoken.acquire()
            async with asyncio.timeout(30):
                for _ in range(2):
                    await wire.spoken.acquire()
            await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(LIST)


@pytest.mark.system
async def test_an_agent_may_ping_every_ten_seconds_on_one_connection(tmp_path: Path) -> None:
    """gRPC's own limit is five minutes: it would hang up at the third ping, after half a minute."""
    options = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
    async with running_hub(tmp_path, limits=Limits(keepalive_seconds=3600, stop_seconds=0)) as hub, wire_to(hub) as wire:
        credentials = grpc.ssl_channel_credentials(hub.ca_certificate, hub.operator.key, hub.operator.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{wire.port}", credentials, options) as channel:
            await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(LIST)
            await asyncio.sleep(55)
            await agent_pb2_grpc.AgentServiceStub(channel).ListAgents(LIST)
    assert wire.connections == 1
