"""What came is verified and kept in a thread, several blobs at a time: waking it for each costs a fast link as much as the work."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.update.blocking import finished
from agent.update.chunk_folder import ChunkFolder
from agent.update.sources import away
from contract.blobs import unpack
from contract.errors import InvalidRequest, SeawallError
from contract.release import Chunk

BATCH_BYTES = 2 * 1024 * 1024
"""So many are looked at together. Once as many wait behind them, the stream waits too."""

Stored = bytes | bytearray | memoryview
"""A blob as it came: the piece itself where that was the whole of it."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that came whole.

    Args:
        chunk: that it should hold.
        stored: as it came.
        resumed: whether its beginning was here from an earlier stream.
    """

    chunk: Chunk
    stored: Stored
    resumed: bool


class Settler:
    """Keeps the blobs of one stream.

    Args:
        folder: where chunks go.
        source: its name, for messages.
        settled: is told of each chunk that is kept.
    """

    def __init__(self, folder: ChunkFolder, source: str, settled: Callable[[Chunk], None]) -> None:
        self._folder = folder
        self._source = source
        self._settled = settled
        self._waiting = list[Blob]()
        self._waiting_bytes = 0
        self._turn = asyncio.Lock()
        self._working: asyncio.Task[None] | None = None
        self._failure: SeawallError | None = None

    async def put(self, blob: Blob) -> None:
        """Takes a blob; waits while too many wait already.

        Raises:
            SeawallError: as `finish` says.
        """
        self._waiting.append(blob)
        self._waiting_bytes += len(blob.stored)
        if self._waiting_bytes >= BATCH_BYTES:
            await self._end_working()
            self._working = asyncio.create_task(self._keep(self._taken()))

    async def settle(self) -> None:
        """Looks at what waits. A slow link takes its time to bring a batch, and a power cut may be nearer."""
        await self._keep(self._taken())

    async def finish(self) -> None:
        """Waits until every blob was looked at, the good behind a bad one too.

        Raises:
            InvalidRequest: RELEASE_INVALID, one is not what its digest says.
            Unavailable: RELEASE_UNAVAILABLE, one does not go on where it was cut off.
            NotPossibleNow: DISK_FULL.
        """
        await self.settle()
        await self._end_working()

    async def _end_working(self) -> None:
        if self._working is not None:
            await self._working
            self._working = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _taken(self) -> list[Blob]:
        blobs, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return blobs

    async def _keep(self, blobs: list[Blob]) -> None:
        async with self._turn:
            settled, failure = await finished(self._settle, blobs) if blobs else ([], None)
        for chunk in settled:
            self._settled(chunk)
        self._failure = self._failure or failure

    def _settle(self, blobs: Sequence[Blob]) -> tuple[list[Chunk], SeawallError | None]:
        """Returns the chunks that were kept, and what was wrong with one that was not."""
        settled, failure = list[Chunk](), None
        for blob in blobs:
            try:
                self._folder.keep(blob.chunk, unpack(blob.stored, blob.chunk.sha256, blob.chunk.size_bytes))
                settled.append(blob.chunk)
            except SeawallError as error:
                failure = self._failed(blob, error)
        return settled, failure

    def _failed(self, blob: Blob, error: SeawallError) -> SeawallError:
        if not isinstance(error, InvalidRequest):
            return error
        self._folder.drop_part(blob.chunk)
        if blob.resumed:  # what was here may be what did not fit: it is fetched from its beginning
            return away(self._source, "a chunk does not go on where it was cut off")
        return error
