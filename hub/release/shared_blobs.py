"""Blobs in memory, as messages: agents that fetch the same version at the same time share what was read and written for one of them."""

import asyncio
from collections import OrderedDict

from contract.errors import NotFound, Reason
from contract.pieces import Piece
from hub.release.blobs import Blobs

MOST_BYTES = 16 * 1024 * 1024
"""Kept at most: agents that began together are seldom further apart."""


class SharedBlob:
    """A blob, and the message that brings it in one piece.

    Args:
        digest: of the plain chunk.
        stored: the blob as it is stored.
    """

    def __init__(self, digest: str, stored: bytes) -> None:
        self.digest = digest
        self.size_bytes = len(stored)
        self._whole = Piece(digest, 0, len(stored), stored).to_message()

    def message(self, offset: int, most_bytes: int) -> bytes:
        """Returns a message with a piece of it.

        Args:
            offset: of the piece.
            most_bytes: of it; it ends where the blob does.
        """
        if offset == 0 and most_bytes >= self.size_bytes:
            return self._whole
        stored = memoryview(self._whole)[-self.size_bytes :]
        return Piece(self.digest, offset, self.size_bytes, stored[offset : offset + most_bytes]).to_message()


class SharedBlobs:
    """The blobs that were asked for last.

    Args:
        blobs: where they are read.
        most_bytes: of them that are kept.
    """

    def __init__(self, blobs: Blobs, most_bytes: int = MOST_BYTES) -> None:
        self._blobs = blobs
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, asyncio.Task[SharedBlob]] = OrderedDict()
        self._kept_bytes = 0
        self._reading: dict[str, asyncio.Task[SharedBlob]] = {}

    def begin(self, digest: str) -> asyncio.Task[SharedBlob]:
        """Begins to read a blob, unless it is here or being read: those who ask for it meanwhile wait for the same reading.

        Args:
            digest: of the plain chunk.

        Returns:
            the reading, for others too: to be waited for behind a shield. It raises NotFound (RELEASE_NOT_FOUND) or
            Unavailable (STORE_UNAVAILABLE).
        """
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]
        if digest not in self._reading:
            self._reading[digest] = asyncio.create_task(self._read(digest))
            self._reading[digest].add_done_callback(lambda done: self._end(digest, done))
        return self._reading[digest]

    async def _read(self, digest: str) -> SharedBlob:
        stored = await self._blobs.get(digest)
        if stored is None:
            raise NotFound(Reason.RELEASE_NOT_FOUND, f"Blob {digest} is not here. Publish its version again.")
        return SharedBlob(digest, stored)

    def _end(self, digest: str, done: asyncio.Task[SharedBlob]) -> None:
        del self._reading[digest]
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[digest] = done
        self._kept_bytes += done.result().size_bytes
        while self._kept_bytes > self._most_bytes:
            self._kept_bytes -= self._kept.popitem(last=False)[1].result().size_bytes
