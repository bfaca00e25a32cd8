"""A load balancer as plain as can be: each connection goes to the next hub that takes it, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count


class Balancer:
    """Serves connections.

    Args:
        backends: `host:port` of each hub.
    """

    def __init__(self, backends: Sequence[str]) -> None:
        self._backends = [backend.rpartition(":") for backend in backends]
        self._next = count()
        self._connections: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
            try:
                await _first_to_end(reader, far_writer, far_reader, writer)
            finally:
                await _close(far_writer)
        finally:
            await _close(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A hub that refuses is passed over."""
        first = next(self._next)
        for number in range(len(self._backends)):
            host, _, port = self._backends[(first + number) % len(self._backends)]
            with suppress(OSError):
                return await asyncio.open_connection(host, int(port))
        raise ConnectionRefusedError


@asynccontextmanager
async def balancer(backends: Sequence[str]) -> AsyncIterator[str]:
    """Runs one until the block ends. Returns its address."""
    running = Balancer(backends)
    server = await asyncio.start_server(running.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        await running.close()


async def _first_to_end(
    reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Copies both ways until either end hangs up."""
    tasks = [asyncio.create_task(_copy(reader, far_writer)), asyncio.create_task(_copy(far_reader, writer))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
