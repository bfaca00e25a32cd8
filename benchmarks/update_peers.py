"""What `benchmarks/updates.py` measures with: a server of blobs and of bare bytes, agents, and a wire that counts and can be cut.

Each server and each agent is a process of its own.
"""

import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import grpc

from agent.hub_channel import CHANNEL_OPTIONS
from agent.update.chunk_folder import ChunkFolder, HeldFiles
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.hub_source import HubSource
from agent.update.pacing import Pace, PaceSettings
from contract.release import Index, blob_path
from seawall.hub.v1 import release_pb2 as pb
from seawall.hub.v1 import release_pb2_grpc

PIECE_BYTES = 256 * 1024
BATCH = FetchSettings().batch
RECONNECTING = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50))
"""A wire that is cut on purpose is there again at once."""

BARE = "/bare.Bytes/Stream"

OPTIONS = tuple(option for option in CHANNEL_OPTIONS if option[0] != "grpc.max_reconnect_backoff_ms") + RECONNECTING


class BlobServer(release_pb2_grpc.ReleaseServiceServicer):
    """Serves the blobs and targets in a folder as the hub does: one blob in memory at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def GetMetadata(self, request: pb.GetMetadataRequest, context: Any) -> pb.Metadata:  # noqa: N802, ARG002
        """See the proto."""
        return pb.Metadata(content=await asyncio.to_thread((self._folder / request.name).read_bytes))

    async def GetTarget(self, request: pb.GetTargetRequest, context: Any) -> pb.Target:  # noqa: N802, ARG002
        """See the proto."""
        return pb.Target(content=await asyncio.to_thread((self._folder / request.path).read_bytes))

    async def FetchBlobs(self, request: pb.FetchBlobsRequest, context: Any) -> AsyncIterator[pb.BlobPiece]:  # noqa: N802, ARG002
        """See the proto."""
        offset = request.first_offset
        for digest in request.digests:
            stored = await asyncio.to_thread((self._folder / blob_path(digest)).read_bytes)
            for begin in range(offset, len(stored), PIECE_BYTES):
                yield pb.BlobPiece(digest=digest, offset=begin, stored_size_bytes=len(stored), data=stored[begin : begin + PIECE_BYTES])
            offset = 0


class _Bare(grpc.GenericRpcHandler):
    """As many bytes as are asked for, in pieces of the same size, from memory."""

    def service(self, handler_call_details: Any) -> Any:
        """Returns the only method."""
        return grpc.unary_stream_rpc_method_handler(self._stream) if handler_call_details.method == BARE else None

    async def _stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        piece, left = os.urandom(PIECE_BYTES), int(request)
        while left > 0:
            yield piece[:left]
            left -= PIECE_BYTES


def serve(folder: Path, pipe: Connection) -> None:
    """Runs the server. Each question in the pipe is answered with the process's largest memory, bytes."""
    asyncio.run(_serve(folder, pipe))


async def _serve(folder: Path, pipe: Connection) -> None:
    server = grpc.aio.server()
    release_pb2_grpc.add_ReleaseServiceServicer_to_server(BlobServer(folder), server)
    server.add_generic_rpc_handlers((_Bare(),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    while await asyncio.to_thread(pipe.recv):
        pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    await server.stop(0)


class Agent:
    """Fetches versions from a port.

    Args:
        port: on loopback.
        folder: for chunks.
        settings: of its fetcher.
    """

    def __init__(self, port: int, folder: Path, settings: FetchSettings | None = None) -> None:
        self._port = port
        self.chunks = ChunkFolder(folder)
        pace = Pace(PaceSettings(), lambda: datetime.now(UTC))
        self._fetcher = Fetcher(self.chunks, pace, random.Random(0), settings)

    async def fetch(self, path: str, held: tuple[HeldFiles, ...] = ()) -> Index:
        """Fetches a version, its index first."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=OPTIONS) as channel:

            @contextmanager
            def use() -> Iterator[grpc.aio.Channel]:
                yield channel

            source = HubSource(use)
            index = Index.from_json(await source.target(path))
            await self._fetcher.fetch(index, source, held)
        return index


def fetch_together(port: int, path: str, barrier: Barrier, times: Connection) -> None:
    """One of several agents that fetch at the same time: every chunk is verified and synced to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(port, Path(folder))
        _timed(agent.fetch(path), barrier, times)


def receive_together(port: int, path: str, barrier: Barrier, times: Connection) -> None:
    """One of several agents that do nothing with the chunks that come: what the server can send."""
    _timed(_receive(port, path), barrier, times)


def stream_together(port: int, size_bytes: int, barrier: Barrier, times: Connection) -> None:
    """One of several clients of the bare stream, which do nothing with what comes."""
    _timed(_stream(port, size_bytes), barrier, times)


def _timed(work: Coroutine[Any, Any, Any], barrier: Barrier, times: Connection) -> None:
    barrier.wait(timeout=120)
    begun = time.monotonic()
    asyncio.run(work)
    times.send((begun, time.monotonic()))


async def _receive(port: int, path: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:

        @contextmanager
        def use() -> Iterator[grpc.aio.Channel]:
            yield channel

        source = HubSource(use)
        digests = list(Index.from_json(await source.target(path)).chunks())
        for begin in range(0, len(digests), BATCH):
            async for _ in source.blobs(digests[begin : begin + BATCH], 0):
                pass


async def _stream(port: int, size_bytes: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        ask: Any = channel.unary_stream(BARE)
        received = 0
        async for piece in ask(str(size_bytes).encode()):
            received += len(piece)
    if received != size_bytes:
        raise EOFError(f"{received} of {size_bytes} bytes")


class Wire:
    """A connection to a server that counts what the server sends, and breaks where it is told to."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.cuts = 0
        self._open: list[tuple[asyncio.Event, asyncio.Event]] = []
        self.cut_at: list[int] = []
        """Of all that was sent; in order."""

    @asynccontextmanager
    async def to(self, port: int) -> AsyncGenerator[int, None]:
        """Listens on loopback, and yields the port."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            ended, gone = asyncio.Event(), asyncio.Event()
            self._open.append((ended, gone))
            works = [
                asyncio.create_task(_pump(reader, back, lambda _: True, ended)),
                asyncio.create_task(_pump(there, writer, self._count, ended)),
            ]
            await ended.wait()
            for stream in (writer, back):
                stream.transport.abort()
            await asyncio.gather(*works)
            gone.set()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            for ended, _ in self._open:
                ended.set()
            await asyncio.gather(*(gone.wait() for _, gone in self._open))

    def _count(self, size_bytes: int) -> bool:
        self.sent_bytes += size_bytes
        if self.cut_at and self.sent_bytes >= self.cut_at[0]:
            self.cut_at.pop(0)
            self.cuts += 1
            return False
        return True


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, goes_on: Callable[[int], bool], ended: asyncio.Event) -> None:
    with suppress(OSError):  # either side may go away
        while (data := await reader.read(65536)) and goes_on(len(data)):
            writer.write(data)
            await writer.drain()
    ended.set()
