"""What `benchmarks/updates.py` measures with: a server of bare bytes, agents, and a wire that counts and can be cut.

The server and each agent are processes of their own.
"""

import asyncio
import hashlib
import os
import random
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import IO, Any

import grpc

from agent.hub_channel import CHANNEL_OPTIONS
from agent.identity.files import Identity
from agent.update.chunk_folder import ChunkFolder, HeldFiles
from agent.update.clock_floor import ClockFloor
from agent.update.fetcher import Fetcher, FetchSettings
from agent.update.hub_source import HubSource
from agent.update.pacing import Pace, PaceSettings
from agent.update.trust import Trust
from benchmarks.fleet_site import TRUST_DOMAIN
from contract.release import Index
from hub.clock import utc_now
from hub.config import Limits
from hub.folder import DataFolder
from hub.listeners import listener_options

PIECE_BYTES = 256 * 1024
BATCH = FetchSettings().batch
RECONNECTING = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 5000), ("grpc.max_reconnect_backoff_ms", 50))
"""A wire that is cut on purpose is there again at once."""

BARE = "/bare.Bytes/Stream"

OPTIONS = tuple(option for option in CHANNEL_OPTIONS if option[0] != "grpc.max_reconnect_backoff_ms") + RECONNECTING


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


def serve(data: Path, pipe: Connection) -> None:
    """Runs the bare server behind the hub's own certificate, with its listener's options, until anything comes in the pipe."""
    asyncio.run(_serve(DataFolder(data), pipe))


async def _serve(folder: DataFolder, pipe: Connection) -> None:
    trust = folder.load_trust(TRUST_DOMAIN, utc_now)
    key, certificate = folder.server.read()
    shown = grpc.ssl_server_credentials([(key, certificate + trust.chain_pem)], trust.trusted_pem, require_client_auth=True)
    server = grpc.aio.server(options=listener_options(Limits()))
    server.add_generic_rpc_handlers((_Bare(),))
    pipe.send(server.add_secure_port("127.0.0.1:0", shown))
    await server.start()
    await asyncio.to_thread(pipe.recv)
    await server.stop(0)


@dataclass(frozen=True)
class Wanted:
    """What an agent of the benchmark fetches.

    Args:
        root: that it trusts.
        model: the name.
        version: of the model.
    """

    root: bytes
    model: str
    version: str


class Agent:
    """Fetches versions from a hub.

    Args:
        identity: who it is, and where the hub is.
        folder: for chunks, and for what TUF has verified.
        settings: of its fetcher.
    """

    def __init__(self, identity: Identity, folder: Path, settings: FetchSettings | None = None) -> None:
        self._identity = identity
        self._folder = folder
        self.chunks = ChunkFolder(folder / "chunks")
        pace = Pace(PaceSettings(), lambda: datetime.now(UTC))
        self._fetcher = Fetcher(self.chunks, pace, random.Random(0), settings)

    async def fetch(self, wanted: Wanted, held: tuple[HeldFiles, ...] = (), told: Callable[[], None] = lambda: None) -> Index:
        """Fetches a version; tells when its index is verified."""
        async with source_of(self._identity) as source:
            clock = ClockFloor(self._folder / "trust", lambda: datetime.now(UTC))
            trust = Trust(self._folder / "trust", wanted.root, clock)
            index = await trust.index(source, "models", wanted.model, wanted.version)
            told()
            await self._fetcher.fetch(index, source, held)
        return index


@asynccontextmanager
async def source_of(identity: Identity) -> AsyncGenerator[HubSource, None]:
    """Yields the hub as an agent's source."""
    async with channel_of(identity) as channel:

        @contextmanager
        def use() -> Iterator[grpc.aio.Channel]:
            yield channel

        yield HubSource(use)


def channel_of(identity: Identity) -> grpc.aio.Channel:
    """Returns an agent's channel, which is there again at once where a wire is cut on purpose."""
    credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
    return grpc.aio.secure_channel(identity.hub_address, credentials, options=OPTIONS)


def fetch_together(identity: Identity, wanted: Wanted, barrier: Barrier, told: Connection) -> None:
    """One of several agents that fetch at the same time: TUF, every chunk verified, unpacked and synced to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(identity, Path(folder))
        _timed(agent.fetch(wanted), barrier, told)


def receive_together(identity: Identity, digests: Sequence[str], barrier: Barrier, told: Connection) -> None:
    """One of several agents that do nothing with the chunks that come: what the hub can send."""
    _timed(_receive(identity, digests), barrier, told)


def keep_together(identity: Identity, size_bytes: int, barrier: Barrier, told: Connection) -> None:
    """One of several clients of the bare stream that do what any receiver must: hash what comes, write it to a file, sync that once."""
    with tempfile.TemporaryFile() as file:
        _timed(_keep(identity, size_bytes, file), barrier, told)


def stream_together(identity: Identity, size_bytes: int, barrier: Barrier, told: Connection) -> None:
    """One of several clients of the bare stream, which do nothing with what comes."""
    _timed(_stream(identity, size_bytes, lambda _: None), barrier, told)


@dataclass(frozen=True)
class Moments:
    """When a receiver was at work, by the clock that all processes of this machine share.

    Args:
        begun: in seconds.
        ended: in seconds.
        cpu_seconds: of its processor time between them.
    """

    begun: float
    ended: float
    cpu_seconds: float


def _timed(work: Coroutine[Any, Any, Any], barrier: Barrier, told: Connection) -> None:
    barrier.wait(timeout=120)
    begun, begun_cpu = time.monotonic(), time.process_time()
    asyncio.run(work)
    told.send(Moments(begun, time.monotonic(), time.process_time() - begun_cpu))
    barrier.wait(timeout=120)  # what a folder takes to be removed is nobody's time


async def _receive(identity: Identity, digests: Sequence[str]) -> None:
    async with source_of(identity) as source:
        for begin in range(0, len(digests), BATCH):
            async for _ in source.blobs(digests[begin : begin + BATCH], 0):
                pass


async def _keep(identity: Identity, size_bytes: int, file: IO[bytes]) -> None:
    whole = hashlib.sha256()

    def take(piece: bytes) -> None:
        whole.update(piece)
        file.write(piece)

    await _stream(identity, size_bytes, take)
    file.flush()
    os.fsync(file.fileno())


async def _stream(identity: Identity, size_bytes: int, take: Callable[[bytes], None]) -> None:
    async with channel_of(identity) as channel:
        ask: Any = channel.unary_stream(BARE)
        received = 0
        async for piece in ask(str(size_bytes).encode()):
            received += len(piece)
            take(piece)
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
    async def to(self, address: str) -> AsyncGenerator[str, None]:
        """Listens on loopback, and yields the address."""
        host, _, port = address.rpartition(":")

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(host, int(port))
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
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
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
