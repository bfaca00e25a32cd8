"""A device that fetches, and sources of one version for it."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.update.chunk_folder import ChunkFolder, HeldFiles
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.pacing import Pace, PaceSettings
from agent.update.progress import Progress
from contract.errors import SeawallError
from contract.pieces import Piece
from contract.release import Index
from tests.fakes.tuf_repository import FakeRepository, FakeSource, version_of

NOISE = random.Random(7)
WEIGHTS = [NOISE.randbytes(size) for size in (700_000, 1_048_576, 300, 900_000, 65_536)]
TEXT = [b"the same line\n" * 10_000]
INDEX, BLOBS = version_of({"model.onnx.data": WEIGHTS, "tokenizer.json": TEXT, "empty": []})
FIRST = INDEX.files[1].chunks[0]


class Waits:
    """Sleep that takes no time and is remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.then: Callable[[], None] = lambda: None

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.then()
        await asyncio.sleep(0)


class Site:
    """A device that fetches."""

    def __init__(self, folder: Path) -> None:
        self.chunks = ChunkFolder(folder / "chunks", spare_bytes=0)
        self.folder = folder / "chunks"
        self.waits = Waits()
        self.moment = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
        self.pace = PaceSettings()
        self.settings = FetchSettings(streams=1, attempts=4)
        self.told: list[Progress] = []

    async def fetch(self, source: FakeSource, index: Index = INDEX, held: Sequence[HeldFiles] = ()) -> None:
        pace = Pace(self.pace, lambda: self.moment, clock=lambda: 0.0, sleep=self.waits)
        fetcher = Fetcher(self.chunks, pace, random.Random(1), self.settings, sleep=self.waits)
        await fetcher.fetch(index, source, held, self.told.append)

    def files(self) -> dict[str, bytes]:
        return {file.name: b"".join(self.chunks.find(chunk) or b"?" for chunk in file.chunks) for file in INDEX.files}


class BadSource(FakeSource):
    """Sends pieces as a test bends them."""

    def __init__(self, bend: Callable[[Piece], Piece | SeawallError], blobs: dict[str, bytes] = BLOBS) -> None:
        super().__init__(FakeRepository())
        self.repository.blobs = dict(blobs)
        self.bend = bend

    async def blobs(self, digests: Sequence[str], first_offset: int) -> AsyncGenerator[Piece, None]:
        async for piece in super().blobs(digests, first_offset):
            bent = self.bend(piece)
            if isinstance(bent, SeawallError):
                raise bent
            yield bent


REPOSITORY = FakeRepository()
REPOSITORY.blobs = BLOBS


def source() -> FakeSource:
    return FakeSource(REPOSITORY)


def whole() -> dict[str, bytes]:
    return {"empty": b"", "model.onnx.data": b"".join(WEIGHTS), "tokenizer.json": b"".join(TEXT)}
