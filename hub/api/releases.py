"""seawall.hub.v1.ReleaseService."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from contract.errors import InvalidRequest, NotFound, Reason
from contract.release import blob_path, invalid_release
from hub.release.blobs import Blobs
from hub.release.repository import Repository
from seawall.hub.v1 import release_pb2, release_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

MAX_DIGESTS = 256
PIECE_BYTES = 256 * 1024


class ReleaseServicer(release_pb2_grpc.ReleaseServiceServicer):
    """Serves what was published.

    Args:
        repository: metadata and targets.
        blobs: what targets name.
    """

    def __init__(self, repository: Repository, blobs: Blobs) -> None:
        self._repository = repository
        self._blobs = blobs

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
    ) -> AsyncIterator[release_pb2.BlobPiece]:
        """See the proto. One blob is in memory at a time."""
        del context
        if len(request.digests) > MAX_DIGESTS:
            raise invalid_release(f"{len(request.digests)} blobs are asked for, at most {MAX_DIGESTS} at once are sent")
        for digest in request.digests:
            blob_path(digest)
        offset = request.first_offset
        for digest in request.digests:
            stored = await self._blobs.get(digest)
            if stored is None:
                raise NotFound(Reason.RELEASE_NOT_FOUND, f"Blob {digest} is not here. Publish its version again.")
            if not 0 <= offset <= len(stored):
                raise InvalidRequest(Reason.FIELD_INVALID, f"first_offset is not within the {len(stored)} bytes of blob {digest}.")
            for start in range(offset, len(stored), PIECE_BYTES):
                piece = stored[start : start + PIECE_BYTES]
                yield release_pb2.BlobPiece(digest=digest, offset=start, stored_size_bytes=len(stored), data=piece)
            offset = 0
