"""seawall.hub.v1.PublisherService."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from contract.blobs import unpack
from contract.release import MAX_CHUNKS, blob_path, invalid_release
from hub.api.identity import CALLER, actor
from hub.release.blobs import Blobs
from hub.release.publishing import Publishing
from seawall.hub.v1 import release_pb2, release_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PublisherServicer(release_pb2_grpc.PublisherServiceServicer):
    """Takes what publishers have signed.

    Args:
        publishing: verifies metadata.
        blobs: what they name.
        trust_domain: ours.
    """

    def __init__(self, publishing: Publishing, blobs: Blobs, trust_domain: str) -> None:
        self._publishing = publishing
        self._blobs = blobs
        self._trust_domain = trust_domain

    async def ListMissingBlobs(  # noqa: N802  # the proto's name
        self, request: release_pb2.ListMissingBlobsRequest, context: Context
    ) -> release_pb2.ListMissingBlobsResponse:
        """See the proto."""
        del context
        if len(request.digests) > MAX_CHUNKS:
            raise invalid_release(f"{len(request.digests)} blobs are asked about, at most {MAX_CHUNKS} at once are looked for")
        return release_pb2.ListMissingBlobsResponse(digests=await self._blobs.missing(request.digests))

    async def UploadBlobs(  # noqa: N802  # the proto's name
        self, request_iterator: AsyncIterator[release_pb2.UploadBlobsRequest], context: Context
    ) -> AsyncIterator[release_pb2.UploadBlobsResponse]:
        """See the proto."""
        del context
        async for request in request_iterator:
            blob_path(request.digest)
            await asyncio.to_thread(unpack, request.stored, request.digest)
            await self._blobs.put(request.digest, request.stored)
            yield release_pb2.UploadBlobsResponse(digest=request.digest)

    async def PublishMetadata(  # noqa: N802  # the proto's name
        self, request: release_pb2.PublishMetadataRequest, context: Context
    ) -> release_pb2.PublishMetadataResponse:
        """See the proto."""
        del context
        targets = {target.path: target.content for target in request.targets}
        published = await self._publishing.publish(
            request.role,
            request.content,
            targets,
            actor(self._trust_domain),
            may_begin=CALLER.get().role == "operator",
        )
        return release_pb2.PublishMetadataResponse(version=published.version, snapshot_version=published.snapshot_version)
