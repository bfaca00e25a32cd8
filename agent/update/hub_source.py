"""Updates from the hub, over the agent's own channel."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import grpc

from agent.hub_channel import hub_reason
from agent.update.sources import MAX_METADATA_BYTES, MAX_TARGET_BYTES, away, check_stored_size, missing, refuse
from contract.errors import Reason, SeawallError
from contract.pieces import Piece
from contract.release import invalid_release
from seawall.hub.v1 import release_pb2 as pb
from seawall.hub.v1 import release_pb2_grpc

_ANSWER_SECONDS = 60.0
_FETCH_BLOBS = "/seawall.hub.v1.ReleaseService/FetchBlobs"


class HubSource:
    """What the hub distributes.

    Args:
        use: lends the channel for a call, as HubLink.use does.
        name: of the hub, for messages.
    """

    offline = False
    streams = 1  # chunks follow each other without waiting

    def __init__(self, use: Callable[[], AbstractContextManager[grpc.aio.Channel]], name: str = "The hub") -> None:
        self._use = use
        self.name = name

    async def metadata(self, name: str) -> bytes:
        """See Source."""
        with self._use() as channel:
            try:
                stub = release_pb2_grpc.ReleaseServiceStub(channel)
                answer = await stub.GetMetadata(pb.GetMetadataRequest(name=name), timeout=_ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise self._error(error, name) from error
        return self._bounded(answer.content, MAX_METADATA_BYTES, name)

    async def target(self, path: str) -> bytes:
        """See Source."""
        with self._use() as channel:
            try:
                stub = release_pb2_grpc.ReleaseServiceStub(channel)
                answer = await stub.GetTarget(pb.GetTargetRequest(path=path), timeout=_ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise self._error(error, path) from error
        return self._bounded(answer.content, MAX_TARGET_BYTES, path)

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        """See Source."""
        request = pb.FetchBlobsRequest(digests=digests, first_offset=first_offset)
        with self._use() as channel:
            # without the generated stub, which copies what comes
            fetch: grpc.aio.UnaryStreamMultiCallable[pb.FetchBlobsRequest, bytes] = channel.unary_stream(
                _FETCH_BLOBS, request_serializer=pb.FetchBlobsRequest.SerializeToString
            )
            call: Any = fetch(request)
            try:
                async for message in call:
                    piece = Piece.from_message(message)
                    check_stored_size(self.name, piece.stored_size_bytes)
                    yield piece
            except grpc.aio.AioRpcError as error:
                raise self._error(error, "blob") from error
            finally:
                call.cancel()  # does nothing to a call that has ended

    def _error(self, error: grpc.aio.AioRpcError, what: str) -> SeawallError:
        if error.code() is grpc.StatusCode.NOT_FOUND and hub_reason(error) is Reason.RELEASE_NOT_FOUND:
            return missing(self.name, what)
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return invalid_release(f"{self.name} refuses to send {what[:200]}: {error.details()}")
        return away(self.name, error.code().name)

    def _bounded(self, content: bytes, most_bytes: int, what: str) -> bytes:
        if len(content) > most_bytes:
            refuse(self.name, f"{what[:200]} has more than {most_bytes} bytes")
        return content
