"""One stream of chunks: each is checked against its digest before it is kept, while the next one is on its way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from agent.update.chunk_folder import ChunkFolder
from agent.update.pacing import Pace
from agent.update.progress import Meter
from agent.update.settling import Blob, Settler, Stored
from agent.update.sources import Source, away, check_stored_size, refuse
from contract.errors import InvalidRequest
from contract.pieces import Piece
from contract.release import Chunk

_PATIENT_BYTES = 16 * 1024
_PART_SECONDS = 1.0
"""So often what there is of a chunk is kept: a power cut costs a second of the link, and a fast link writes no parts at all."""


class Receiver:
    """Takes streams from a source, one after the other.

    Args:
        folder: where chunks go.
        source: where they come from.
        pace: when and how fast.
        meter: counts.
        patience_seconds: in which 16 KiB must come.
        clock: seconds that pass.
    """

    def __init__(
        self,
        folder: ChunkFolder,
        source: Source,
        pace: Pace,
        meter: Meter,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._source = source
        self._pace = pace
        self._meter = meter
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._waited_seconds = 0.0
        self._patient_bytes = 0
        self._batch = list[Chunk]()
        self._settler = Settler(folder, source.name, self._settled)
        self.received_bytes = 0

    async def receive(self, batch: list[Chunk]) -> None:
        """Asks for chunks, and takes those that come out of the batch. Returns early when nothing may be fetched now.

        Args:
            batch: what is wanted, in order.

        Raises:
            SeawallError: the stream ended before it was done; what came is kept.
        """
        self._waited_seconds, self._patient_bytes = 0.0, 0
        begun = bytearray(await asyncio.to_thread(self._folder.part, batch[0]))
        self._batch = batch
        async with aclosing(self._source.blobs([chunk.sha256 for chunk in batch], len(begun))) as pieces:
            try:
                for chunk in tuple(batch):
                    resumed = bool(begun)
                    stored = await self._fill(chunk, pieces, begun)
                    if stored is None:
                        return
                    await self._settler.put(Blob(chunk, stored, resumed))
                    begun = bytearray()
            finally:
                await self._settler.finish()

    async def settle(self) -> None:
        """Keeps the whole blobs that wait for more of them."""
        await self._settler.settle()

    async def _fill(self, chunk: Chunk, pieces: AsyncIterator[Piece], stored: bytearray) -> Stored | None:
        """Adds pieces until the blob is whole. Returns it; None: nothing may be fetched now. What there is of one that is not is kept."""
        blob: Stored = stored
        kept_at = self._clock()
        whole = False
        try:
            while not whole:
                if self._pace.closed:
                    return None
                piece = await self._next(pieces)
                self._check(piece, chunk, len(stored))
                self._count(len(piece.data))
                if len(piece.data) == piece.stored_size_bytes:
                    blob = piece.data  # nothing is copied of a blob that comes in one piece
                else:
                    stored += piece.data
                whole = len(blob) == piece.stored_size_bytes
                if not whole and self._clock() - kept_at >= _PART_SECONDS:
                    await asyncio.to_thread(self._folder.keep_part, chunk, bytes(stored))
                    kept_at = self._clock()
                await self._pace.spend(len(piece.data))
        except InvalidRequest:
            stored.clear()
            await asyncio.to_thread(self._folder.drop_part, chunk)
            raise
        finally:
            if stored and not whole:
                await asyncio.to_thread(self._folder.keep_part, chunk, bytes(stored))
        return blob

    def _settled(self, chunk: Chunk) -> None:
        self._batch.remove(chunk)
        self._meter.verified(chunk.size_bytes)

    async def _next(self, pieces: AsyncIterator[Piece]) -> Piece:
        begun = self._clock()
        try:
            async with asyncio.timeout(self._patience_seconds - self._waited_seconds):
                piece = await anext(pieces)
        except StopAsyncIteration:
            raise away(self._source.name, "it ended too early") from None
        except TimeoutError:
            raise away(self._source.name, f"less than {_PATIENT_BYTES // 1024} KiB in {self._patience_seconds:.0f} s") from None
        self._waited_seconds += self._clock() - begun
        return piece

    def _check(self, piece: Piece, chunk: Chunk, offset: int) -> None:
        size_bytes = check_stored_size(self._source.name, piece.stored_size_bytes)
        if piece.digest != chunk.sha256 or piece.offset != offset:
            refuse(self._source.name, "another piece than the one that was asked for")
        if size_bytes > chunk.size_bytes + 1 or not 0 < len(piece.data) <= size_bytes - offset:
            refuse(self._source.name, "more than the chunk has, or nothing")

    def _count(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes
        self._meter.received(size_bytes)
        self._patient_bytes += size_bytes
        if self._patient_bytes >= _PATIENT_BYTES:
            self._patient_bytes, self._waited_seconds = 0, 0.0
