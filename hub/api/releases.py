"""seawall.hub.v1.ReleaseService."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from contract.errors import InvalidRequest, Reason
from contract.release import blob_path, invalid_release
from hub.release.blobs import Blobs
from hub.release.repository import Repository
from hub.release.shared_blobs import SharedBlobs
from seawall.hub.v1 import release_pb2

Context = grpc.aio.ServicerContext[Any, Any]

MAX_DIGESTS = 256
PIECE_BYTES = 256 * 1024
"""Of a stream that has just begun: a link that is often cut loses no more at a time."""

WHOLE_AFTER_BYTES = 2 * 1024 * 1024
"""A stream that has brought so much sends each blob in one piece: half of the messages, and of what they cost."""


class ReleaseServicer:
    """Serves what was published.

    Args:
        repository: metadata and targets.
        blobs: what targets name.
    """

    def __init__(self, repository: Repository, blobs: Blobs) -> None:
        self._repository = repository
        self._shared = SharedBlobs(blobs)

    async def GetMetadata(  # noqa: N802  # the proto's name
        self, request: release_pb2.GetMetadataRequest, context: Context
    ) -> release_pb2.Metadata:
        """See the proto."""
        del context
        return release_pb2.Metadata(content=await self._repository.metadata(request.name))

    async def GetTarget(self, request: release_pb2.GetTargetRequest, context: Context) -> release_pb2.Target:  # noqa: N802
        """See the proto."""
        del context
        return release_pb2.Target(content=await self._repository.target(request.path))

    async def FetchBlobs(  # noqa: N802  # the proto's name
        self, request: release_pb2.FetchBlobsRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """See the proto. Yields messages as they are sent. A stream holds two blobs: while one is sent, the next is read."""
        del context
        if len(request.digests) > MAX_DIGESTS:
            raise invalid_release(f"{len(request.digests)} blobs are asked for, at most {MAX_DIGESTS} at once are sent")
        for digest in request.digests:
            blob_path(digest)
        offset, sent_bytes = request.first_offset, 0
        ahead = [self._shared.begin(digest) for digest in request.digests[:1]]
        for number in range(1, len(request.digests) + 1):
            blob = await asyncio.shield(ahead.pop())
            ahead += [self._shared.begin(following) for following in request.digests[number : number + 1]]
            if not 0 <= offset <= blob.size_bytes:
                raise InvalidRequest(Reason.FIELD_INVALID, f"first_offset is not within the {blob.size_bytes} bytes of blob {blob.digest}.")
            while offset < blob.size_bytes:
                most_bytes = PIECE_BYTES if sent_bytes < WHOLE_AFTER_BYTES else blob.size_bytes
                yield blob.message(offset, most_bytes)
                begun_at, offset = offset, min(offset + most_bytes, blob.size_bytes)
                sent_bytes += offset - begun_at
            offset = 0


def add_release_servicer(servicer: ReleaseServicer, server: grpc.aio.Server) -> None:
    """Adds the service, as the generated function does, but for pieces of blobs, which are messages already."""
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "GetMetadata": grpc.unary_unary_rpc_method_handler(
            servicer.GetMetadata, release_pb2.GetMetadataRequest.FromString, release_pb2.Metadata.SerializeToString
        ),
        "GetTarget": grpc.unary_unary_rpc_method_handler(
            servicer.GetTarget, release_pb2.GetTargetRequest.FromString, release_pb2.Target.SerializeToString
        ),
        "FetchBlobs": grpc.unary_stream_rpc_method_handler(servicer.FetchBlobs, release_pb2.FetchBlobsRequest.FromString),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("seawall.hub.v1.ReleaseService", methods),))
