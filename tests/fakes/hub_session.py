"""An agent's end of a session, as plain as can be: a test says what it sends and looks at what comes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc.aio

from seawall.hub.v1 import agent_pb2, command_pb2, session_pb2, session_pb2_grpc
from tests.fakes.hub import Identity

SECONDS = 20
"""A message that has not come by then does not come."""

REFUSED_TRIES = 10
"""Where a hub refuses a stream while its first message is being written, gRPC hides the hub's word behind an error of its own."""


class FakeSession:
    """A stream to a hub."""

    def __init__(self, open_call: Callable[[], Any]) -> None:
        self._open_call = open_call
        self.call = open_call()

    async def send(self, **message: Any) -> None:
        await self.call.write(session_pb2.ConnectRequest(**message))

    async def receive(self) -> session_pb2.ConnectResponse:
        async with asyncio.timeout(SECONDS):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            raise EOFError
        assert isinstance(response, session_pb2.ConnectResponse)
        return response

    async def hello(self, applied: int = 0, version: str = "1.0", model: str = "") -> session_pb2.Welcome:
        message = session_pb2.Hello(report=agent_pb2.AgentReport(version=version, model=model), applied_generation=applied)
        for _ in range(REFUSED_TRIES):
            try:
                await self.send(hello=message)
                break
            except grpc.aio.AioRpcError as error:
                if "execute_batch" not in str(error.debug_error_string()):
                    raise
                self.call = self._open_call()
        return (await self.receive()).welcome

    async def beat(self, number: int) -> session_pb2.ConnectResponse:
        await self.send(heartbeat=session_pb2.Heartbeat(number=number))
        return await self.receive()

    async def report(
        self, command: command_pb2.Command, state: command_pb2.Command.State.ValueType, output: str = ""
    ) -> session_pb2.ConnectResponse:
        await self.send(command=session_pb2.CommandOutcome(name=command.name, state=state, output=output))
        return await self.receive()

    async def ending(self) -> grpc.aio.AioRpcError:
        """The error that the hub ends the stream with."""
        try:
            while True:
                await self.receive()
        except grpc.aio.AioRpcError as error:
            return error


class Reachable(Protocol):
    """A hub that agents can call."""

    def channel(self, identity: Identity) -> grpc.aio.Channel: ...


@asynccontextmanager
async def session(hub: Reachable, identity: Identity) -> AsyncIterator[FakeSession]:
    """A stream on which nothing has been said yet."""
    async with hub.channel(identity) as channel:
        agent = FakeSession(lambda: session_pb2_grpc.SessionServiceStub(channel).Connect())
        yield agent
        agent.call.cancel()
