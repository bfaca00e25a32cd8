"""seawall.hub.v1.ReleaseService."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
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
"""Of a stream that has just begun: a link that is often cut loses no more at a time."""

WHOLE_AFTER_BYTES = 2 * 1024 * 1024
"""A stream that has brought so much sends each blob in one piece: half of the messages, and of what they cost."""


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
        """See the proto. Two blobs are in memory at a time: while one is sent, the next is read."""
        del context
        if len(request.digests) > MAX_DIGESTS:
            raise invalid_release(f"{len(request.digests)} blobs are asked for, at most {MAX_DIGESTS} at once are sent")
        for digest in request.digests:
            blob_path(digest)
        offset, sent_bytes = request.first_offset, 0
        async with aclosing(self._read_ahead(request.digests)) as blobs:
            async for digest, stored in blobs:
                size_bytes = len(stored)
                if not 0 <= offset <= size_bytes:
                    raise InvalidRequest(Reason.FIELD_INVALID, f"first_offset is not within the {size_bytes} bytes of blob {digest}.")
                while offset < size_bytes:
                    end = offset + (PIECE_BYTES if sent_bytes < WHOLE_AFTER_BYTES else size_bytes)
                    data = stored[offset:end]
                    yield release_pb2.BlobPiece(digest=digest, offset=offset, stored_size_bytes=size_bytes, data=data)
                    offset += len(data)
                    sent_bytes += len(data)
                offset = 0

    async def _read_ahead(self, digests: Sequence[str]) -> AsyncGenerator[tuple[str, bytes], None]:
        """Yields blobs, each having been read while the one before was used."""
        begun: deque[asyncio.Task[bytes]] = deque()
        try:
            for digest in digests[:1]:
                begun.append(asyncio.create_task(self._read(digest)))
            for number, digest in enumerate(digests, 1):
                stored = await begun.popleft()
                begun.extend(asyncio.create_task(self._read(following)) for following in digests[number : number + 1])
                yield digest, stored
        finally:
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    async def _read(self, digest: str) -> bytes:
        stored = await self._blobs.get(digest)
        if stored is None:
            raise NotFound(Reason.RELEASE_NOT_FOUND, f"Blob {digest} is not here. Publish its version again.")
        return stored
