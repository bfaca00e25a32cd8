"""The stream of a session, with one way to end."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

import grpc

from agent.hub_channel import asked_wait_seconds, hub_reason
from seawall.hub.v1 import session_pb2 as pb
from seawall.hub.v1 import session_pb2_grpc

T = TypeVar("T")


class Ended(Exception):
    """The session is over.

    Args:
        why: in lower case with dashes, such as `agent-suspended`, `unavailable`.
        wait_seconds: that the hub asks to wait.
    """

    def __init__(self, why: str, wait_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.wait_seconds = wait_seconds


class HubStream:
    """What is said in a session. To be read by one task and written by one.

    Args:
        channel: to the hub.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: Any = session_pb2_grpc.SessionServiceStub(channel).Connect()

    async def read(self) -> pb.ConnectResponse:
        """Returns what comes next.

        Raises:
            Ended: nothing does.
        """
        response = await self._tell(self._call.read())
        if isinstance(response, pb.ConnectResponse):
            return response
        raise Ended("hub-ended")

    async def write(self, request: pb.ConnectRequest) -> None:
        """Sends a message.

        Raises:
            Ended: it cannot be sent.
        """
        await self._tell(self._call.write(request))

    def cancel(self) -> None:
        """Ends the stream."""
        self._call.cancel()

    async def _tell(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except grpc.aio.AioRpcError as error:
            raise _ended(error) from error
        except asyncio.InvalidStateError:  # gRPC's word for writing to a call that has ended
            await self._raise_end()
        except asyncio.CancelledError:  # gRPC raises it for a stream that the hub has reset as well
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Ended("hub-ended") from None

    async def _raise_end(self) -> NoReturn:
        code, details = await self._call.code(), await self._call.details()
        raise _ended(grpc.aio.AioRpcError(code, await self._call.initial_metadata(), await self._call.trailing_metadata(), details=details))


def _ended(error: grpc.aio.AioRpcError) -> Ended:
    reason = hub_reason(error)
    if reason is None and error.code() is grpc.StatusCode.INTERNAL:
        return Ended("hub-ended")  # what gRPC makes of a message to a stream that has just ended; the next try tells the hub's own reason
    return Ended((reason or error.code().name).lower().replace("_", "-"), asked_wait_seconds(error))
