"""Brings the chunks of a version here: only those that are nowhere here yet, several at once, from where it was cut off."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.update.chunk_folder import ChunkFolder, Holder
from agent.update.pacing import Pace
from agent.update.progress import Meter, Progress
from agent.update.receiving import Receiver
from agent.update.sources import Source
from contract.errors import Reason, SeawallError
from contract.release import Chunk, Index

SYNC_SECONDS = 1.0
"""So often what came is synced: a power cut costs a second of the link, and a fast link is not held up by each chunk."""

_AGAIN = {Reason.RELEASE_INVALID, Reason.RELEASE_UNAVAILABLE, Reason.HUB_UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How chunks are fetched.

    Args:
        streams: at once, at most; a source may want fewer.
        batch: chunks that one stream asks for at a time.
        attempts: in a row that may bring nothing before the download is given up.
        bad_chunks: so many that are not what their digests say end the download.
        first_delay_seconds: before the second attempt; it doubles.
        longest_delay_seconds: where it stops doubling.
        patience_seconds: in which a stream must bring 16 KiB, or a whole chunk.
    """

    streams: int = 4
    batch: int = 128
    attempts: int = 8
    bad_chunks: int = 3
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0
    patience_seconds: float = 60.0


def _nobody(_: Progress) -> None:
    """Takes progress that nobody looks at."""


class Fetcher:
    """Downloads versions.

    Args:
        folder: where fetched chunks go.
        pace: when and how fast.
        randomness: for the delays between attempts.
        settings: how.
        sleep: waits.
    """

    def __init__(
        self,
        folder: ChunkFolder,
        pace: Pace,
        randomness: random.Random,
        settings: FetchSettings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._pace = pace
        self._randomness = randomness
        self._settings = settings or FetchSettings()
        self._sleep = sleep
        self._receivers = set[Receiver]()

    async def fetch(self, index: Index, source: Source, held: Sequence[Holder] = (), tell: Callable[[Progress], None] = _nobody) -> None:
        """Fetches what is missing; afterwards every chunk is in the folder or with a holder.

        Args:
            index: verified.
            source: to fetch from.
            held: what else has chunks, such as the installed versions.
            tell: is given the progress.

        Raises:
            NotPossibleNow: DISK_FULL.
            NotFound: RELEASE_NOT_FOUND, the source lacks a chunk.
            InvalidRequest: RELEASE_INVALID, the source keeps sending something else.
            Unavailable: RELEASE_UNAVAILABLE, the source does not deliver.
        """
        missing = await asyncio.to_thread(self._missing, index, held)
        missing_bytes = sum(chunk.size_bytes for chunk in missing)
        await asyncio.to_thread(self._folder.check_space, missing_bytes)
        total_bytes = sum(chunk.size_bytes for chunk in index.chunks().values())
        meter = Meter(total_bytes - missing_bytes, total_bytes, tell)
        try:
            async with asyncio.TaskGroup() as tasks:
                ended = asyncio.Event()
                tasks.create_task(self._sync_until(ended))
                await self._bring_all(deque(missing), source, meter)
                ended.set()
        except* SeawallError as errors:
            raise _first(errors) from None
        finally:
            await asyncio.to_thread(self._folder.sync)

    async def _bring_all(self, todo: deque[Chunk], source: Source, meter: Meter) -> None:
        async with asyncio.TaskGroup() as streams:
            for _ in range(min(self._settings.streams, source.streams)):
                streams.create_task(self._work(todo, source, meter))

    async def _sync_until(self, ended: asyncio.Event) -> None:
        """Syncs what came, again and again, beside the streams; for the last time when they have ended."""
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(SYNC_SECONDS):
                    await ended.wait()
            for receiver in tuple(self._receivers):
                await receiver.settle()
            await asyncio.to_thread(self._folder.sync)

    def _missing(self, index: Index, held: Sequence[Holder]) -> list[Chunk]:
        holders = (self._folder, *held)
        return [chunk for chunk in index.chunks().values() if all(holder.find(chunk) is None for holder in holders)]

    async def _work(self, todo: deque[Chunk], source: Source, meter: Meter) -> None:
        while todo:
            batch = [todo.popleft() for _ in range(min(len(todo), self._settings.batch))]
            receiver = Receiver(self._folder, source, self._pace, meter, self._settings.patience_seconds)
            self._receivers.add(receiver)
            try:
                await self._bring(receiver, batch, meter)
            finally:
                self._receivers.remove(receiver)

    async def _bring(self, receiver: Receiver, batch: list[Chunk], meter: Meter) -> None:
        failed = bad = 0
        while batch:
            await self._wait_until_open(meter)
            before_bytes = receiver.received_bytes
            try:
                await receiver.receive(batch)
                failed = 0
            except SeawallError as error:
                failed = failed + 1 if receiver.received_bytes == before_bytes else 1
                bad += error.reason is Reason.RELEASE_INVALID
                if error.reason not in _AGAIN or failed >= self._settings.attempts or bad >= self._settings.bad_chunks:
                    raise
                meter.waiting(error.message)
                await self._sleep(self._delay_seconds(failed))

    async def _wait_until_open(self, meter: Meter) -> None:
        if why := self._pace.closed:
            meter.waiting(why)
            await self._pace.until_open()

    def _delay_seconds(self, failed: int) -> float:
        longest: float = min(self._settings.longest_delay_seconds, self._settings.first_delay_seconds * 2 ** (failed - 1))
        return longest * self._randomness.uniform(0.5, 1.0)


def _first(errors: BaseExceptionGroup[SeawallError]) -> SeawallError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
