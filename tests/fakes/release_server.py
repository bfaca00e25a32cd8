"""ReleaseService over what a test gives it, on loopback, for as long as no hub is needed."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from agent.update.hub_source import HubSource
from contract.errors import ERROR_DOMAIN
from seawall.hub.v1 import release_pb2 as pb
from seawall.hub.v1 import release_pb2_grpc

PIECE_BYTES = 256 * 1024


class ReleaseServer(release_pb2_grpc.ReleaseServiceServicer):
    """Serves as the proto says."""

    def __init__(self, metadata: Mapping[str, bytes], files: Mapping[str, bytes], blobs: Mapping[str, bytes]) -> None:
        self.metadata = metadata
        self.files = files
        self.blobs = blobs

    async def GetMetadata(self, request: pb.GetMetadataRequest, context: Any) -> pb.Metadata:  # noqa: N802
        return pb.Metadata(content=await _of(self.metadata, request.name, context))

    async def GetTarget(self, request: pb.GetTargetRequest, context: Any) -> pb.Target:  # noqa: N802
        return pb.Target(content=await _of(self.files, request.path, context))

    async def FetchBlobs(self, request: pb.FetchBlobsRequest, context: Any) -> AsyncIterator[pb.BlobPiece]:  # noqa: N802
        offset = request.first_offset
        for digest in request.digests:
            stored = await _of(self.blobs, digest, context)
            if offset >= len(stored):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such offset")
            for begin in range(offset, len(stored), PIECE_BYTES):
                yield pb.BlobPiece(digest=digest, offset=begin, stored_size_bytes=len(stored), data=stored[begin : begin + PIECE_BYTES])
            offset = 0


@asynccontextmanager
async def serving(server: ReleaseServer) -> AsyncIterator[int]:
    """Listens on loopback, and yields the port."""
    grpc_server = grpc.aio.server()
    release_pb2_grpc.add_ReleaseServiceServicer_to_server(server, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    try:
        yield port
    finally:
        await grpc_server.stop(0)


@asynccontextmanager
async def hub_source(port: int) -> AsyncIterator[HubSource]:
    """A source that asks a server on loopback."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        @contextmanager
        def use() -> Iterator[grpc.aio.Channel]:
            yield channel

        yield HubSource(use)


async def _of(content: Mapping[str, bytes], name: str, context: Any) -> bytes:
    if name not in content:
        detail = AnyMessage()
        detail.Pack(error_details_pb2.ErrorInfo(reason="RELEASE_NOT_FOUND", domain=ERROR_DOMAIN))
        await context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=code_pb2.NOT_FOUND, message="none", details=[detail])))
    return content[name]
